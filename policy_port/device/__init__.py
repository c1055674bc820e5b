"""Control on the device: plant, policy, episodes and statistics as torch tensors, to the host once per report."""
