"""What was found of Isaac Lab's tasks, and the tables of benchmarks/isaaclab.md."""

from __future__ import annotations

import datetime
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from foreign_runs import Verified, table

import policy_port as pp

GOAL = 1e-6
"""Largest difference [rad, m, 1] between a crossing and its original that counts as none."""

COMPARED = ("joint_pos", "joint_vel", "target", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel")
"""What a crossing and its original must have in common, joints by name."""

ORDERS = {"newton": "physx", "physx": "newton"}
"""Order that a policy names its joints in, and the other one."""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One policy in its own order and, remapped, in the other."""

    robot: str
    policy: str
    """Whose network it is."""
    order: str
    """Order that it was made in."""
    read: str = ""
    """What the contract was read from."""
    flags: str = ""
    """Options that the import took."""
    export: Verified | None = None
    """The unchanged port against the trace of the original."""
    remapped: Verified | None = None
    """The remapped port against the same trace."""
    crossed: Verified | None = None
    """The remapped port against the trace of its own run in the other order."""
    differences: dict[str, float] = field(default_factory=dict)
    """Largest difference of each array of `COMPARED` between the unchanged port's run and the remapped one's."""
    own: dict[str, float] = field(default_factory=dict)
    """The same between Isaac Lab's own network and the unchanged port, in one order; empty for a real policy."""
    steps: int = 0
    speed: float | None = None
    """Mean forward speed under the command, in the second half [m/s]; None where nobody walks."""
    reason: str = ""
    """Why it could not be done."""

    @property
    def largest(self) -> float:
        """Largest difference of any kind; infinite where the crossing was not made."""
        return max(self.differences.values(), default=float("inf"))

    @property
    def verified(self) -> tuple[Verified | None, ...]:
        """The three verdicts."""
        return self.export, self.remapped, self.crossed

    @property
    def good(self) -> bool:
        """Whether everything was compared, is equal, and the crossing makes no difference."""
        return all(v is not None and v.status == 0 for v in self.verified) and self.largest <= GOAL


VERIFIED = ("robot", "policy", "joint order", "read", "options", "port", "remapped port", "remapped port, other order")

CROSSED = ("robot", "policy", "from", "to", "steps", *COMPARED, "largest", "forward m/s")


def verified_rows(found: Iterable[Crossing]) -> list[str]:
    """What was read and with which options, and how many comparisons are equal."""
    return table(
        VERIFIED,
        (
            (
                c.robot,
                c.policy,
                c.order,
                c.read,
                c.flags,
                *(v.cell if v else "-" for v in (c.export, c.remapped, c.crossed)),
            )
            for c in found
        ),
    )


def crossing_rows(found: Iterable[Crossing]) -> list[str]:
    """How far the remapped port's run in the other order is from the unchanged port's."""
    return table(
        CROSSED,
        (
            (
                *(c.robot, c.policy, c.order, ORDERS[c.order], str(c.steps)),
                *(f"{c.differences[key]:.1e}" if c.differences else "-" for key in COMPARED),
                f"{c.largest:.1e}" if c.differences else "not made",
                "-" if c.speed is None else f"{c.speed:.2f}",
            )
            for c in found
        ),
    )


ABOUT = """
For each robot and each order of its joints, Newton's and PhysX's (`joint_ordering` and `body_ordering` "physx"), Isaac
Lab stepped its own task without Kit, on Newton and the CPU, two environments, and left what a training leaves, written
by its own code; the trace is by [`examples/record_isaac_lab.py`](../examples/record_isaac_lab.py). policy-port then
imported, exported and remapped. `verify` held the unchanged port against the trace of Isaac Lab's own network, and the
remapped one against the unchanged port's run and against its own in the other order.
"""

STAND_INS = """
The robots are stand-ins ([isaaclab_robots.yaml](isaaclab_robots.yaml)): names and tree are Isaac Lab's, the dynamics
near the real ones. `--robots FOLDER` takes your own USD files.
"""

OWN = "The robots are the user's own USD files (`--robots`)."

CROSSING = """
The same task, seed and start, the unchanged port in the one order and the remapped port in the other, joints by name.
Largest difference over all steps, environments and joints [rad, rad/s, m, m/s]; {goal:g} counts as none.
"""

START = """
- **Where joints start** is drawn column by column by `reset_joints_by_scale`: under one seed, another order gives other
  joints another start. Here they start at their defaults.
"""


def document(found: Sequence[Crossing], versions: Sequence[str], own: Path | None, changed: Mapping[str, str]) -> str:
    """The whole of isaaclab.md.

    Args:
        found: Every crossing.
        versions: Of the packages in Isaac Lab's environment.
        own: Folder of the user's own robots; None where they are stand-ins.
        changed: What is other than in a robot's task as it comes, by robot.
    """
    apart = max((max(c.own.values()) for c in found if c.own), default=float("nan"))
    asked = max((c.export.action_error for c in found if c.own and c.export), default=float("nan"))
    lines = [
        *("# Isaac Lab, read and crossed", ""),
        f"Written by `scripts/isaaclab_crossing` on {datetime.date.today().isoformat()}; {os.cpu_count()} CPU cores,",
        f"no GPU; policy-port {pp.__version__}; in Isaac Lab's own environment {', '.join(versions)}.",
        *(ABOUT.rstrip(), "", (STAND_INS if own is None else OWN).strip()),
        *("", *verified_rows(found), "", "## The crossing", CROSSING.format(goal=GOAL).rstrip(), ""),
        *(*crossing_rows(found), "", "## Notes", ""),
        f"- **The untrained network itself and its port**, asked the same observation, differ by at most {asked:.1e}.",
        f"  Their runs in one order end up to {apart:.1e} apart, since what falls and strikes multiplies any",
        "  rounding: so the crossing compares two ports.",
        START.strip(),
        *(f"- **{robot}**: {words}." for robot, words in changed.items()),
        *(
            f"- **{c.robot}, {c.policy}, {c.order}** was not done: {c.reason.splitlines()[0]}"
            for c in found
            if c.reason
        ),
        "",
    ]
    return "\n".join(lines)
