"""A robot's links and joints as a tree, and the two walks through it that simulators take."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Link:
    """One link, the joints that move it against its parent, and the links that hang on it."""

    name: str
    """Name of the link (body, prim)."""
    joints: tuple[str, ...] = ()
    """Hinge and slide joints towards the parent; none where it is fixed, or the root."""
    children: tuple[Link, ...] = ()
    """Links that hang on it, in the file's order."""


def depth_first(roots: tuple[Link, ...]) -> tuple[str, ...]:
    """Joint names in depth-first order, siblings in the file's order: MuJoCo's."""
    names: list[str] = []
    pending = list(reversed(roots))
    while pending:
        link = pending.pop()
        names += link.joints
        pending += reversed(link.children)
    return tuple(names)


def breadth_first_by_name(roots: tuple[Link, ...], *, merge_fixed: bool) -> tuple[str, ...]:
    """Joint names level by level, siblings sorted by link name: Isaac Lab's on PhysX.

    Args:
        roots: The tree.
        merge_fixed: Whether links without a joint count as part of their parent, as in a robot that was converted
            with merged fixed joints; kept ones put what hangs on them one level deeper.
    """
    names: list[str] = []
    level = sorted(roots, key=lambda link: link.name)
    while level:
        names += [joint for link in level for joint in link.joints]
        level = [
            child for link in level for child in sorted(_children(link, merge_fixed), key=lambda child: child.name)
        ]
    return tuple(names)


def _children(link: Link, merge_fixed: bool) -> Iterator[Link]:
    for child in link.children:
        if merge_fixed and not child.joints:
            yield from _children(child, merge_fixed)
        else:
            yield child
