"""The whole control step as one program: written once, run by torch and, in any language, by ONNX Runtime."""
