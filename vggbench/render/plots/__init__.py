"""Pictures, by matplotlib's objects alone: nothing global is touched."""
