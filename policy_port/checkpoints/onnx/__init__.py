"""ONNX files: the network between observation and action, as torch modules."""
