"""ONNX file -> Count, from shapes alone."""
