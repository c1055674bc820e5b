"""The most that options and files may ask for: beyond it a command would die for memory, or never end."""

ENVS = 65_536
"""Environments side by side."""
PROCESSES = 1024
"""Processes at a time."""
EPISODES = 100_000
"""Episodes of one policy."""
ITERATIONS = 1_000_000
"""Iterations of a training, and steps of an episode of a task environment."""
STEPS = 10_000
"""Control steps that are kept of an environment, and parts that they are cut into."""
KEPT = 2**24
"""Steps of all environments together that an iteration of a training keeps; the largest trainings keep 2**22."""
NUMBERS = 1_000_000
"""Numbers of an observation."""
SEED = 2**31 - 1
"""The largest seed that every simulator takes."""
DAY = 86_400.0
"""The longest episode [s]."""
