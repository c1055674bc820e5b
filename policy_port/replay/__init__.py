"""Replay of ports in simulators: rollouts, metrics, pictures."""
