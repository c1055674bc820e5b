"""Verdicts on ports: does the contract explain what the source simulator recorded, and if not, what would."""
