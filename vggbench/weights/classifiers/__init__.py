"""Networks that are no VGG: of torchvision and timm by name, and programs in files, ONNX and torch.export."""
