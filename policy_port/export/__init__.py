"""The port folder: TorchScript, single-file ONNX, and the proof that they equal the checkpoint."""
