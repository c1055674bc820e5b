"""Foreign descriptors, one file per kind, each turned into a contract; what they don't say is asked for."""
