"""The built-in sample: pictures that are drawn on first use, and six small nets that were trained on others."""
