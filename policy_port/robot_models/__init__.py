"""Robot models: the files that describe a robot's bodies and joints."""
