"""The remap between two parsings: an affine map with at most one entry per row, and its folding into weights."""
