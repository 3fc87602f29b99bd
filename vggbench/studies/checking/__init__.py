"""Whether a published accuracy is refuted by the images seen so far: a verdict in minutes."""
