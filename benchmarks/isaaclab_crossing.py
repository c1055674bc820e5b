#!/usr/bin/env python3
"""Isaac Lab's own velocity tasks, read, verified and crossed between Newton's and PhysX's joint order.

`scripts/isaaclab_crossing` runs this. For each robot and each of the two orders: Isaac Lab steps its task and leaves
what a training leaves; policy-port imports, exports, remaps to the other order and holds both ports against the trace;
Isaac Lab steps the same task in the other order with the remapped port, and that must do what the original did, joint by
joint. Real policies that fit a task cross as well. The result is benchmarks/isaaclab.md.
"""

from __future__ import annotations

import argparse
import datetime
import os
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from foreign_runs import ROOT, Interpreter, RunError, Verified, chosen, flags, policy_port, table, verify
from isaaclab_robots import GROUND, robots, usd
from tqdm import tqdm

import policy_port as pp
from policy_port.trace import Trace

SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"

STEPS = Path(__file__).with_name("isaaclab_steps.py")

GOAL = 1e-6
"""Largest difference [rad, m, 1] between a crossing and its original that counts as none."""

COMPARED = ("joint_pos", "joint_vel", "target", "base_pos", "base_quat", "base_lin_vel", "base_ang_vel")
"""What a crossing and its original must have in common, joints by name."""

ORDERS = {"newton": "physx", "physx": "newton"}
"""Order that a policy names its joints in, and the other one."""

ORDERING = {"newton": (), "physx": ("--ordering", "physx")}
"""How Isaac Lab on Newton is told either order: its own, or PhysX's."""

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
    """Largest difference of each array of `COMPARED`."""
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
    def good(self) -> bool:
        """Whether everything was compared, is equal, and the crossing makes no difference."""
        return all(v is not None and v.status == 0 for v in (self.export, self.remapped, self.crossed)) and (
            self.largest <= GOAL
        )


@dataclass(frozen=True, kw_only=True)
class Place:
    """Where runs are made and left."""

    isaaclab: Interpreter
    folder: Path
    robots: Path
    """Folder of USD files; ground.usda is among them."""
    steps: int

    def run(self, out: Path, task: Task, robot: str, *options: str) -> None:
        """Step a task of Isaac Lab's; its files go to `out`, its words beside it."""
        given = ("--robot", self.usd(robot), "--ground", self.robots / "ground.usda", "--out", out)
        self.isaaclab.run(STEPS, task.name, *given, *options, *task.options, log=out.with_suffix(".log"))

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
    parser.add_argument("--python", type=Path, required=True, help="Python of Isaac Lab's environment")
    parser.add_argument("--only", default="", help=f"robots, with commas: {', '.join(TASKS)}; all, if not given")
    parser.add_argument(
        "--robots", type=Path, help="folder with your own go2.usd, g1.usd, ...; stand-ins, if not given"
    )
    parser.add_argument("--steps", type=int, default=60, help="control steps of a run (default: 60)")
    parser.add_argument("--walk-steps", type=int, default=250, help="those of a real policy; 0: none (default: 250)")
    parser.add_argument("--work", type=Path, default=ROOT / "runs" / "isaaclab", help="folder for what the runs leave")
    parser.add_argument("--out", type=Path, help="the table to write (benchmarks/isaaclab.md, if all robots run)")
    options = parser.parse_args()
    names = chosen(options.only, TASKS, parser, "--only")
    if options.robots is not None and not options.robots.is_dir():
        parser.error(f"--robots: {options.robots} is no folder")
    isaaclab = Interpreter(python=options.python, environment={"OMNI_KIT_ACCEPT_EULA": "YES"})
    try:
        versions = isaaclab.versions(PACKAGES)
    except RunError as error:
        parser.error(f"--python: {error}")
    place = Place(
        isaaclab=isaaclab,
        folder=options.work.resolve(),
        robots=robot_files(options.work.resolve(), options.robots),
        steps=options.steps,
    )
    found = cross_all(place, names, options.walk_steps)
    text = document(found, versions, own=options.robots is not None)
    out = options.out or (ROOT / "benchmarks" / "isaaclab.md" if names == list(TASKS) else None)
    print("\n".join(rows(found)))
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


def cross_all(place: Place, names: Sequence[str], walk_steps: int) -> list[Crossing]:
    """Every robot in both orders, then the real policies that are at hand."""
    found = []
    jobs: list[tuple[str, str] | Real] = [(robot, order) for robot in names for order in ORDERS]
    if walk_steps and SHARED.is_dir():
        jobs += [real for real in REAL if real.robot in names]
    for job in tqdm(jobs, unit="crossing", disable=None):
        real = job if isinstance(job, Real) else None
        robot, order = (real.robot, real.trained) if real else job  # type: ignore[misc]
        policy = Path(real.file).stem if real else "untrained"
        try:
            found.append(cross_real(place, real, walk_steps) if real else cross(place, robot, order))
        except RunError as error:
            found.append(Crossing(robot=robot, policy=policy, order=order, reason=str(error)))
    return found


def cross(place: Place, robot: str, order: str) -> Crossing:
    """An untrained network of Isaac Lab's in one order: what it writes is read, verified and crossed."""
    task, folder = TASKS[robot], place.folder / f"{robot}_{order}"
    run = folder / "run"
    place.run(run, task, robot, "--steps", str(place.steps), *ORDERING[order])
    contract = folder / "contract.yaml"
    descriptors = run / "io_descriptors" / "IO_descriptors.yaml"
    took = policy_port(
        "contract", "import", descriptors, "--out", contract, "--name", f"{robot}_{order}", "--robot", robot, "--force"
    )
    return carried(
        place,
        Crossing(
            robot=robot,
            policy="untrained",
            order=order,
            read="io_descriptors/IO_descriptors.yaml, params/env.yaml and params/agent.yaml beside it",
            flags=flags(took),
            steps=place.steps,
        ),
        contract=contract,
        network=run / "model_0.pt",
        options=("--steps", str(place.steps)),
    )


def cross_real(place: Place, real: Real, steps: int) -> Crossing:
    """A real policy on the task's robot, with the gains that it was trained with, told to walk forward."""
    task, policy = TASKS[real.robot], Path(real.file).stem
    folder = place.folder / policy
    contract = ROOT / "tests" / "real_policies" / real.contract
    options = ("--steps", str(steps), "--command", "1", "0", "0", *real.drives)
    port = folder / "port"
    policy_port("export", SHARED / real.file, "--contract", contract, "--out", port, "--force")
    act = ("--policy", str(port / "policy.pt"))
    place.run(folder / "run", task, real.robot, *options, *act, *ORDERING[real.trained])
    made = Crossing(
        robot=real.robot,
        policy=policy,
        order=real.trained,
        read=f"tests/real_policies/{real.contract}",
        flags="-",
        steps=steps,
        speed=forward_speed(folder / "run" / "trace.npz"),
    )
    return carried(place, made, contract=contract, network=SHARED / real.file, options=options)


def carried(place: Place, made: Crossing, *, contract: Path, network: Path, options: Sequence[str]) -> Crossing:
    """Export and remap a network whose run is there, let the remapped port act in the other order, compare."""
    robot, other = made.robot, ORDERS[made.order]
    folder = place.folder / (f"{robot}_{made.order}" if made.policy == "untrained" else made.policy)
    port, remapped = folder / "port", folder / "remapped"
    policy_port("export", network, "--contract", contract, "--out", port, "--force")
    mapping = f"{robot}_{made.order}_to_{other}"
    policy_port("remap", network, "--contract", contract, "--mapping", mapping, "--out", remapped, "--force")
    original, crossed = folder / "run" / "trace.npz", folder / "crossed" / "trace.npz"
    act = ("--policy", str(remapped / "policy.pt"))
    place.run(folder / "crossed", TASKS[robot], robot, *options, *act, *ORDERING[other])
    return Crossing(
        robot=robot,
        policy=made.policy,
        order=made.order,
        read=made.read,
        flags=made.flags,
        steps=made.steps,
        speed=made.speed,
        export=verify(port, original),
        remapped=verify(remapped, original, "--side", "source"),
        crossed=verify(remapped, crossed, "--side", "port"),
        differences=differences(original, crossed),
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


COLUMNS = (
    *(
        "robot",
        "policy",
        "made in the order of",
        "import took",
        "port",
        "remapped port",
        "remapped port in its own run",
    ),
    *("joints rad", "targets rad", "base m", "largest of all", "steps"),
)


def rows(found: Iterable[Crossing]) -> list[str]:
    """The table of all crossings."""
    lines = []
    for crossing in found:
        head = [crossing.robot, crossing.policy, crossing.order, crossing.flags or "-"]
        if crossing.reason:
            lines.append([*head, *[""] * (len(COLUMNS) - len(head) - 1), "failed, see below"])
            continue
        cells = [v.cell if v else "" for v in (crossing.export, crossing.remapped, crossing.crossed)]
        numbers = [crossing.differences[key] for key in ("joint_pos", "target", "base_pos")]
        lines.append(
            [*head, *cells, *(f"{number:.1e}" for number in [*numbers, crossing.largest]), str(crossing.steps)]
        )
    return table(COLUMNS, lines)


def document(found: Sequence[Crossing], versions: Sequence[str], *, own: bool) -> str:
    """The whole of isaaclab.md."""
    walks = [crossing for crossing in found if crossing.speed is not None]
    lines = [
        "# Isaac Lab, read and crossed",
        "",
        f"Written by `scripts/isaaclab_crossing` on {datetime.date.today().isoformat()}; {os.cpu_count()} CPU cores, no "
        f"GPU; policy-port {pp.__version__}; in Isaac Lab's own environment {', '.join(versions)}.",
        "",
        ABOUT.strip(),
        "",
        *rows(found),
        "",
        "Read: "
        + "; ".join(
            dict.fromkeys(f"{c.read} ({'real' if c.speed is not None else 'untrained'})" for c in found if c.read)
        )
        + ".",
        *(["", f"- **{robot}**: {task.about}."] if task.about else [] for robot, task in ()),
        *[f"- **{robot}**: {task.about}." for robot, task in TASKS.items() if task.about],
        *[
            f"- **{crossing.robot}, {crossing.policy}, {crossing.order}** failed: {crossing.reason.splitlines()[0]}"
            for crossing in found
            if crossing.reason
        ],
        "",
    ]
    return "\n".join(lines)


ABOUT = ""


if __name__ == "__main__":
    main()
