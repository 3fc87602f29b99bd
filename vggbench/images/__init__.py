"""Images: what their bytes say before decoding, pixels, the processes that read them, what is wrong with a file."""
