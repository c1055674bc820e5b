"""A hypothesis: what is wrong with a port, and what mends it."""

from __future__ import annotations

SHOWN = 5
"""Hypotheses that are told."""
