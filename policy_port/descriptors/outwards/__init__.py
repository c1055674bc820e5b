"""Contracts written as the descriptors that other people's runners read."""
