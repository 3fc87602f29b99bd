"""What is evaluated and how, from images to stored posteriors."""
