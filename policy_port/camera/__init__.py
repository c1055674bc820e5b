"""Cameras: what they see, where they are, and whether that is what a policy was trained on."""
