"""The port: the folder that `remap` and `export` write, its format, and what runs it."""
