"""Environments in which the SO100 reach policy is trained."""
