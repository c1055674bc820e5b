"""The networks that loaders build, as torch modules with explicit state."""
