"""Networks that are not VGGs: of torchvision and timm by name, and programs in files, ONNX and torch.export."""
