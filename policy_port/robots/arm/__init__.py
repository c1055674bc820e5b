"""The arm: its driver, its supervisor, and its session."""
