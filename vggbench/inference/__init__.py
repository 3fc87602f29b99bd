"""What runs a network: a model on a device, from uint8 views to posteriors."""
