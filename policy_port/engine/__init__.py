"""The crank: data of a robot, a better simulator, a better policy, and again."""
