#!/usr/bin/env python3
"""Isaac Lab's own velocity tasks, read, verified and crossed between Newton's and PhysX's joint order.

`scripts/isaaclab_crossing` runs this. For each robot and each of the two orders: Isaac Lab steps its task with its own
untrained network and leaves what a training leaves; policy-port imports, exports, remaps to the other order and holds
both ports against the trace; Isaac Lab steps the task again with the unchanged port, and in the other order with the
remapped one, and these two must do the same, joint by joint. Real policies that fit a task cross as well. The result is
benchmarks/isaaclab.md.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from foreign_runs import ROOT, Interpreter, RunError, chosen, flags, interpreter, policy_port, verify
from isaaclab_robots import GROUND, robots, usd
from isaaclab_table import COMPARED, ORDERS, Crossing, crossing_rows, document, verified_rows
from tqdm import tqdm

from policy_port.trace import Trace

SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"

STEPS = Path(__file__).with_name("isaaclab_steps.py")

ORDERING = {"newton": (), "physx": ("--ordering", "physx")}
"""How Isaac Lab on Newton is told either order: its own, or PhysX's."""

VENV, REQUIREMENT = ".venv-isaaclab", "isaaclab[rsl-rl]==3.0.0"

EULA = {"OMNI_KIT_ACCEPT_EULA": "YES"}
"""Without it Isaac Lab asks on the console."""

PACKAGES = ("isaaclab", "newton", "mujoco", "warp-lang", "torch", "rsl-rl-lib")


@dataclass(frozen=True, kw_only=True)
class Task:
    """A task of Isaac Lab's and what the run of it needs."""

    name: str
    options: tuple[str, ...] = ()
    """More options of isaaclab_steps.py."""
    about: str = ""
    """What is other than in the task as it comes."""


TASKS = {
    "go2": Task(name="Isaac-Velocity-Flat-UnitreeGo2"),
    "g1": Task(name="Isaac-Velocity-Flat-G1"),
    "h1": Task(name="Isaac-Velocity-Flat-H1"),
    "anymal_d": Task(
        name="Isaac-Velocity-Flat-AnymalD",
        options=("--simple-drives",),
        about="its actuator network lies on NVIDIA's server: ANYDRIVE_3_SIMPLE_ACTUATOR_CFG in its place",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Real:
    """A policy that a public project trained, for one of the tasks."""

    robot: str
    file: str
    """Under ../shared/real_policies."""
    trained: str
    """Order of its joints, newton or physx."""
    contract: str
    """Its contract, in tests/real_policies."""
    drives: tuple[str, ...]
    """The gains that it was trained with, as options of isaaclab_steps.py."""


REAL = (
    *(
        Real(
            robot="go2",
            file=f"policies/newton_assets_{name}_go2.pt",
            trained=order,
            contract=f"newton_assets_{name}_go2.yaml",
            drives=("--gains", "50", "1", "0.1"),
        )
        for name, order in (("physx", "physx"), ("mjw", "newton"))
    ),
    *(
        Real(
            robot="anymal_d",
            file=f"policies/newton_assets_{name}_anymal.pt",
            trained=order,
            contract=f"newton_assets_{name}_anymal.yaml",
            drives=("--gains", "300", "10", "0.06"),
        )
        for name, order in (("physx", "physx"), ("mjw", "newton"))
    ),
)


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs are made and left."""

    isaaclab: Interpreter
    folder: Path
    robots: Path
    """Folder of USD files; ground.usda is among them."""
    steps: int
    """Control steps of an untrained network's run."""
    walk_steps: int
    """Control steps of a real policy's; 0 for none."""
    keep: bool
    """Whether a run that lies there is taken as it is."""

    def run(self, out: Path, robot: str, order: str, *options: str) -> Path:
        """Step a robot's task in an order of its joints; gives the trace, which lies with all else in `out`.

        Raises:
            RunError: When the robot has no file, or the run fails.
        """
        if self.keep and (out / "trace.npz").is_file():
            return out / "trace.npz"
        task = TASKS[robot]
        given = ("--robot", self.usd(robot), "--ground", self.robots / "ground.usda", "--out", out)
        words = (*given, *options, *task.options, *ORDERING[order])
        self.isaaclab.run(STEPS, task.name, *words, log=out.with_suffix(".log"))
        return out / "trace.npz"

    def usd(self, robot: str) -> Path:
        """The robot's file.

        Raises:
            RunError: When the folder has none.
        """
        for suffix in (".usd", ".usda", ".usdc"):
            if (self.robots / f"{robot}{suffix}").is_file():
                return self.robots / f"{robot}{suffix}"
        raise RunError(f"{self.robots} has no {robot}.usd; it holds {', '.join(sorted(os.listdir(self.robots)))}")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python", type=Path, help=f"Python of Isaac Lab's environment; {VENV}'s, if not given")
    parser.add_argument("--only", default="", help=f"robots, with commas: {', '.join(TASKS)}; all, if not given")
    parser.add_argument(
        "--robots", type=Path, help="folder with your own go2.usd, g1.usd, ...; stand-ins, if not given"
    )
    parser.add_argument("--steps", type=int, default=60, help="control steps of a run (default: 60)")
    parser.add_argument("--walk-steps", type=int, default=150, help="those of a real policy; 0: none (default: 150)")
    parser.add_argument("--keep", action="store_true", help="judge anew the runs that lie in --work, make the others")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "isaaclab", help="folder for what the runs leave")
    parser.add_argument("--out", type=Path, help="the table to write (benchmarks/isaaclab.md, if all robots run)")
    options = parser.parse_args()
    names = chosen(options.only, TASKS, parser, "--only")
    if options.robots is not None and not options.robots.is_dir():
        parser.error(f"--robots: {options.robots} is no folder")
    try:
        isaaclab = (
            interpreter(VENV, "POLICY_PORT_ISAACLAB_VENV", REQUIREMENT, environment=EULA)
            if options.python is None
            else Interpreter(python=options.python, environment=EULA)
        )
        versions = isaaclab.versions(PACKAGES)
    except RunError as error:
        parser.exit(2, f"error: {error}\n")
    place = Place(
        isaaclab=isaaclab,
        folder=options.work.resolve(),
        robots=robot_files(options.work.resolve(), options.robots),
        steps=options.steps,
        walk_steps=options.walk_steps,
        keep=options.keep,
    )
    found = cross_all(place, names)
    changed = {robot: TASKS[robot].about for robot in names if TASKS[robot].about}
    text = document(found, versions, options.robots, changed)
    out = options.out or (ROOT / "benchmarks" / "isaaclab.md" if names == list(TASKS) else None)
    print("\n".join([*verified_rows(found), "", *crossing_rows(found)]))
    if out is not None:
        out.write_text(text, encoding="utf-8")
        print(f"wrote {out}")
    for crossing in found:
        if crossing.reason:
            print(f"{crossing.robot}, {crossing.policy}: {crossing.reason}", file=sys.stderr)
    sys.exit(0 if all(crossing.good for crossing in found) else 1)


def robot_files(work: Path, own: Path | None) -> Path:
    """A folder of robots and the ground: the user's own robots, linked, or the stand-ins."""
    folder = work / "robots"
    folder.mkdir(parents=True, exist_ok=True)
    for old in folder.iterdir():
        old.unlink()
    (folder / "ground.usda").write_text(GROUND, encoding="utf-8")
    if own is None:
        for robot in robots():
            (folder / f"{robot}.usda").write_text(usd(robot), encoding="utf-8")
    else:
        for file in own.resolve().iterdir():
            if file.stem in TASKS and file.suffix in (".usd", ".usda", ".usdc"):
                (folder / file.name).symlink_to(file)
    return folder


def cross_all(place: Place, names: Sequence[str]) -> list[Crossing]:
    """Every robot in both orders, then the real policies that are at hand."""
    found = []
    jobs: list[tuple[str, str] | Real] = [(robot, order) for robot in names for order in ORDERS]
    if place.walk_steps and SHARED.is_dir():
        jobs += [real for real in REAL if real.robot in names]
    for job in tqdm(jobs, unit="crossing", disable=None):
        real = job if isinstance(job, Real) else None
        robot, order = (real.robot, real.trained) if real else job  # type: ignore[misc]
        policy = Path(real.file).stem if real else "untrained"
        try:
            found.append(cross_real(place, real) if real else cross(place, robot, order))
        except RunError as error:
            found.append(Crossing(robot=robot, policy=policy, order=order, reason=str(error)))
    return found


def cross(place: Place, robot: str, order: str) -> Crossing:
    """An untrained network of Isaac Lab's in one order: what it writes is read, verified and crossed."""
    folder = place.folder / f"{robot}_{order}"
    steps = ("--steps", str(place.steps))
    own = place.run(folder / "own", robot, order, *steps)
    contract = folder / "contract.yaml"
    took = policy_port(
        *("contract", "import", folder / "own" / "io_descriptors" / "IO_descriptors.yaml", "--out", contract),
        *("--name", f"{robot}_{order}", "--robot", robot, "--force"),
    )
    made = Crossing(
        robot=robot,
        policy="untrained",
        order=order,
        read="IO_descriptors.yaml, env.yaml, agent.yaml",
        flags=flags(took),
        steps=place.steps,
    )
    made = carried(place, made, folder, contract=contract, network=folder / "own" / "model_0.pt", options=steps)
    return replace(made, export=verify(folder / "port", own), own=differences(own, folder / "unchanged" / "trace.npz"))


def cross_real(place: Place, real: Real) -> Crossing:
    """A real policy on the task's robot, with the gains that it was trained with, told to walk forward."""
    policy = Path(real.file).stem
    folder = place.folder / policy
    contract = ROOT / "tests" / "real_policies" / real.contract
    steps = place.walk_steps
    options = ("--steps", str(steps), "--command", "1", "0", "0", *real.drives)
    made = Crossing(
        robot=real.robot, policy=policy, order=real.trained, read=real.contract, flags="not imported", steps=steps
    )
    made = carried(place, made, folder, contract=contract, network=SHARED / real.file, options=options)
    return replace(made, speed=forward_speed(folder / "unchanged" / "trace.npz"))


def carried(
    place: Place, made: Crossing, folder: Path, *, contract: Path, network: Path, options: Sequence[str]
) -> Crossing:
    """Export and remap a network, let each port act in its own order, and hold them against the traces."""
    robot, other = made.robot, ORDERS[made.order]
    port, remapped = folder / "port", folder / "remapped"
    mapping = f"{robot}_{made.order}_to_{other}"
    policy_port("export", network, "--contract", contract, "--out", port, "--force")
    policy_port("remap", network, "--contract", contract, "--mapping", mapping, "--out", remapped, "--force")
    unchanged = place.run(folder / "unchanged", robot, made.order, *options, "--policy", str(port / "policy.pt"))
    crossed = place.run(folder / "crossed", robot, other, *options, "--policy", str(remapped / "policy.pt"))
    orders = [Trace(trace).header["joint_names"] for trace in (unchanged, crossed)]
    if orders[0] == orders[1]:
        raise RunError(f"{unchanged} and {crossed} name their joints in one order: nothing has crossed")
    return replace(
        made,
        export=verify(port, unchanged),
        remapped=verify(remapped, unchanged, "--side", "source"),
        crossed=verify(remapped, crossed, "--side", "port"),
        differences=differences(unchanged, crossed),
    )


def differences(first: Path, second: Path) -> dict[str, float]:
    """Largest difference of each array of `COMPARED` between two traces, joints by name.

    Raises:
        RunError: When they have other joints, other steps, or lack an array.
    """
    traces = Trace(first), Trace(second)
    names = [list(trace.header["joint_names"]) for trace in traces]
    if sorted(names[0]) != sorted(names[1]):
        raise RunError(f"{first} and {second} have other joints: {sorted(set(names[0]) ^ set(names[1]))}")
    columns = [names[1].index(name) for name in names[0]]
    found = {}
    for key in COMPARED:
        one, two = (np.asarray(trace[key], np.float64) for trace in traces)
        if key in ("joint_pos", "joint_vel", "target"):
            two = two[..., columns]
        if one.shape != two.shape:
            raise RunError(f"{key} of {first} is {one.shape}, of {second} {two.shape}")
        # A NaN must not read as no difference.
        found[key] = float(np.max(np.abs(one - two))) if np.isfinite(one - two).all() else float("inf")
    return found


def forward_speed(trace: Path) -> float:
    """Mean forward speed over all environments in the second half of a trace [m/s]."""
    speeds = np.asarray(Trace(trace)["base_lin_vel"])[..., 0]
    return float(speeds[len(speeds) // 2 :].mean())


if __name__ == "__main__":
    main()
