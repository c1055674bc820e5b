"""Stages of commands, as one file lists them."""
