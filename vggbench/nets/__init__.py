"""The networks: the module, its cost in closed form, a recount of it, its ONNX graph. No files, no data."""
