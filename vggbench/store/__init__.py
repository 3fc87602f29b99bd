"""Posteriors once per model, protocol, Q and image, in files that survive a kill."""
