"""The remap between two parsings: affine maps with at most one entry per row around the network."""

from policy_port.remap.affine import AffineMap
from policy_port.remap.build import Remap, build_remap, identity_remap
from policy_port.remap.target import derive_target

__all__ = ["AffineMap", "Remap", "build_remap", "derive_target", "identity_remap"]
