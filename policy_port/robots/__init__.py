"""Real robots: their drivers, and the emulated arm that stands in for one."""
