"""The hot path: plant state to observation, network output to joint targets."""
