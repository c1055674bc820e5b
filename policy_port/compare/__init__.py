"""Runs of one policy in several simulators, side by side."""
