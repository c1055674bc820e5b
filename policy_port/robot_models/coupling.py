"""Joints that follow another one: <mimic> of URDF, <equality><joint> of MJCF."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from policy_port.errors import RobotError


@dataclass(frozen=True, kw_only=True)
class Follower:
    """A joint whose position is a polynomial of another's, so that nobody drives it."""

    name: str
    """The joint that follows."""
    leader: str
    """The joint that it follows."""
    coefficients: tuple[float, ...]
    """position - own_zero = sum of coefficients[k] * (leader's position - leader_zero)^k [rad or m]."""
    own_zero: float = 0.0
    """Reference position of the follower [rad or m]."""
    leader_zero: float = 0.0
    """Reference position of the leader [rad or m]."""
    said_by: str
    """The element of the file that says so."""

    def position(self, leader: float) -> float:
        """Where the joint is while its leader is at `leader` [rad or m]."""
        away = leader - self.leader_zero
        return self.own_zero + sum(factor * away**power for power, factor in enumerate(self.coefficients))

    @property
    def line(self) -> tuple[float, float] | None:
        """Multiplier and offset: position = multiplier * leader's position + offset; None where it is no line."""
        offset, multiplier, *bends = (*self.coefficients, 0.0, 0.0)
        if any(bends) or multiplier == 0.0:
            return None
        return multiplier, self.own_zero + offset - multiplier * self.leader_zero

    def turned(self) -> Follower:
        """The same coupling, told from the leader's side; only of a line."""
        assert self.line is not None
        multiplier, offset = self.line
        coefficients = (-offset / multiplier, 1.0 / multiplier)
        return Follower(name=self.leader, leader=self.name, coefficients=coefficients, said_by=self.said_by)


def follow(followers: Followers, position: dict[str, float]) -> None:
    """Put followers, given in the order of their chains, where their leaders' positions want them [rad or m]."""
    for follower in followers.values():
        if follower.leader in position:
            position[follower.name] = follower.position(position[follower.leader])


Followers = dict[str, Follower]
"""Followers by name."""


def in_chain_order(followers: Iterable[Follower], *, robot: str) -> Followers:
    """Followers by name, each after the follower that it follows itself.

    Raises:
        RobotError: When joints follow each other in a circle, or one follows two.
    """
    left = {}
    for follower in followers:
        if follower.name in left:
            raise RobotError(
                f"{robot}: joint '{follower.name}' follows '{left[follower.name].leader}' and '{follower.leader}'; "
                f"keep one {follower.said_by}"
            )
        left[follower.name] = follower
    ordered: Followers = {}
    while left:
        ready = [name for name, follower in left.items() if follower.leader not in left]
        if not ready:
            raise RobotError(f"{robot}: joints {', '.join(left)} follow each other in a circle; let one of them lead")
        ordered |= {name: left.pop(name) for name in ready}
    return ordered
