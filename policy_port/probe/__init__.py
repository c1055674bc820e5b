"""What a network tells of the contract that is said to be its own, without a trace and without a simulator.

Everything here follows from the network's derivatives on drawn observations, and from the contract's names. What they
can't settle is said to be open: a network that fits its contract here may still be the wrong one.
"""
