"""What an arm is asked to do, and what is kept of it."""
