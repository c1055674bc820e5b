"""A person at the controls: a live view, and what is told through it."""
