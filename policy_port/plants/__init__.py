"""Anything that can be read and driven by joint targets: the protocol, and one file per simulator."""
