"""Sweeps: many policies in many simulators under many commands, and which of them to deploy."""
