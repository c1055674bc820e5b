"""TorchScript files: what they compute, recorded without running their code."""
