#!/usr/bin/env python3
"""mjlab's own tasks, read and verified: what its runner writes against what its environment does.

`scripts/mjlab_crossing` runs this. For each task mjlab trains for a moment and leaves what a training leaves;
policy-port imports and exports that and holds the port against a trace of the environment. The result is
benchmarks/mjlab.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from foreign_runs import (
    ROOT,
    Interpreter,
    RunError,
    Verified,
    chosen,
    flags,
    policy_port,
    table,
    verify,
)
from tqdm import tqdm

import policy_port as pp

STEPS = Path(__file__).with_name("mjlab_steps.py")

PACKAGES = ("mjlab", "mujoco", "mujoco-warp", "warp-lang", "torch", "rsl-rl-lib")

OUTSIDE = ("action", "target", "control_dt")
"""Comparisons that are no term of the observation."""


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of mjlab's."""

    name: str
    options: tuple[str, ...] = ()
    """What its import takes beside --out: env.yaml does not say it."""
    why: str = ""
    """Why it does not."""
    external: tuple[str, ...] = ()
    """Terms that only its environment can compute, so that no trace shows them."""


TASKS = {
    "go1": Task(name="Mjlab-Velocity-Flat-Unitree-Go1"),
    "g1": Task(name="Mjlab-Velocity-Flat-Unitree-G1"),
    "g1_tracking": Task(
        name="Mjlab-Tracking-Flat-Unitree-G1", external=("command", "motion_anchor_pos_b", "motion_anchor_ori_b")
    ),
    "yam_lift_cube": Task(
        name="Mjlab-Lift-Cube-Yam",
        options=("--set", "base.floating=false"),
        why="whether a robot is bolted down stands in its MJCF",
        external=("ee_to_cube", "cube_to_goal"),
    ),
}


@dataclass(frozen=True, kw_only=True)
class Run:
    """What was found of a task."""

    task: str
    read: str = ""
    """Files that the contract was read from."""
    flags: str = ""
    """Options that the import took."""
    verified: Verified | None = None
    """The port against the trace of mjlab's own network."""
    steps: int = 0
    reason: str = ""
    """Why it could not be done."""

    @property
    def good(self) -> bool:
        """Whether all that a trace of the task can show was compared and is equal."""
        unmade = set(self.verified.unmade) - set(TASKS[self.task].external) if self.verified else {"all"}
        return self.verified is not None and not self.verified.wrong and not unmade

    def error(self, *labels: str) -> float:
        """Largest difference among comparisons of `verify`; NaN where none was made."""
        errors = self.verified.errors if self.verified else {}
        return max((errors[label] for label in labels if label in errors), default=float("nan"))

    @property
    def terms(self) -> list[str]:
        """Terms of the observation that were compared."""
        return [label for label in (self.verified.errors if self.verified else {}) if label not in OUTSIDE]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, required=True, help="Python of mjlab's environment")
    parser.add_argument("--only", default="", help=f"tasks, with commas: {', '.join(TASKS)}; all, if not given")
    parser.add_argument("--steps", type=int, default=100, help="control steps of a run (default: 100)")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "mjlab", help="folder for what the runs leave")
    parser.add_argument("--out", type=Path, help="the table to write (benchmarks/mjlab.md, if all tasks run)")
    options = parser.parse_args()
    names = chosen(options.only, TASKS, parser, "--only")
    mjlab = Interpreter(python=options.python, environment={"MUJOCO_GL": os.environ.get("MUJOCO_GL", "egl")})
    try:
        versions = mjlab.versions(PACKAGES)
    except RunError as error:
        parser.error(f"--python: {error}")
    found = []
    for name in tqdm(names, unit="task", disable=None):
        try:
            found.append(cross(mjlab, name, options.work.resolve() / name, options.steps))
        except RunError as error:
            found.append(Run(task=name, reason=str(error)))
    out = options.out or (ROOT / "benchmarks" / "mjlab.md" if names == list(TASKS) else None)
    print("\n".join(rows(found)))
    if out is not None:
        out.write_text(document(found, versions), encoding="utf-8")
        print(f"wrote {out}")
    for run in found:
        if run.reason:
            print(f"{run.task}: {run.reason}", file=sys.stderr)
    sys.exit(0 if all(run.good for run in found) else 1)


def cross(mjlab: Interpreter, name: str, folder: Path, steps: int) -> Run:
    """One task: mjlab trains and records it, and its files are read and verified.

    Raises:
        RunError: When a run or a command fails.
    """
    task, own, port = TASKS[name], folder / "own", folder / "port"
    given = ("--steps", str(steps))
    mjlab.run(STEPS, task.name, "--out", own, *given, log=folder / "own.log")
    contract = folder / "contract.yaml"
    network = own / f"{own.name}.onnx"
    took = policy_port("contract", "import", network, "--out", contract, *task.options, "--force")
    policy_port("export", network, "--contract", contract, "--out", port, "--force")
    return Run(
        task=name, read=files_of(took.said), flags=flags(took), verified=verify(port, own / "trace.npz"), steps=steps
    )


def files_of(said: str) -> str:
    """Names of the files that an import says it has read."""
    read = said.splitlines()[0].partition("' from ")[2].rpartition(" (")[0]
    return ", ".join(Path(file).name for file in read.split(", "))


def rows(found: Iterable[Run]) -> list[str]:
    """A line for each task."""
    return table(
        ("task", "read", "options", "equal", "action", "observation", "target"),
        (
            (
                run.task,
                run.read or "-",
                run.flags or "-",
                run.verified.cell if run.verified else "not done",
                *(f"{run.error(*labels):.1e}" for labels in (("action",), run.terms, ("target",))),
            )
            for run in found
        ),
    )


ABOUT = """
mjlab's own tasks, trained for two iterations by its own runner on the CPU, two environments, in its play
configuration; what the runner and `train` write was read, and the trace is by
[`examples/record_mjlab.py`](../examples/record_mjlab.py). `verify` held the port against the trace of mjlab's own
network: equal comparisons of all, and the largest difference of the action, of all terms of the observation and of the
joint targets [rad, rad/s, m/s, 1], over {steps} steps.
"""

NOTES = """
- **Exact numbers** come from params/env.yaml: the metadata of the ONNX file has three decimals (0.373 for
  0.3727530387083568). Each is held against the metadata and must round to it.
- **base_lin_vel** is a velocimeter of the robot's MJCF, not the link's or the centre of mass's velocity; the contract
  names the sensor and the trace says where it is.
- **Joint readings** of the walking tasks have an encoder bias (`params.biased`), a constant of each joint that the
  action takes off its targets again. The trace has the joints as the encoders read them.
- **Not compared** are terms that only the task's environment can compute: the reference motion, distances to a cube.
- **Not shown**: that a port which acts inside mjlab ends where its own network ends. It did not, within 1e-6 (Go1
  1.4e-4, tracking 9.2e-2, G1 4.0 after contacts). Two graphs that round differently are pulled apart by contacts, but
  that this is all of it was not established.
- The motion of the tracking task is one of our own: every joint swings by {swing:g} rad.
"""


def document(found: Sequence[Run], versions: Sequence[str]) -> str:
    """The whole of mjlab.md."""
    from mjlab_steps import SWING

    kept = [f"- **{run.task}** needs `{run.flags}`: {TASKS[run.task].why}." for run in found if TASKS[run.task].why]
    failed = [f"- **{run.task}** was not done: {run.reason.splitlines()[0]}" for run in found if run.reason]
    made = f"{datetime.date.today().isoformat()}, policy-port {pp.__version__}, {', '.join(versions)}."
    return "\n".join(
        [
            "# mjlab",
            f"`scripts/mjlab_crossing` wrote this: {made}",
            ABOUT.format(steps=max((run.steps for run in found), default=0)),
            *rows(found),
            NOTES.format(swing=SWING).rstrip(),
            *kept,
            *failed,
            "",
        ]
    )


if __name__ == "__main__":
    main()
