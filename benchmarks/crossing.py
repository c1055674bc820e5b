#!/usr/bin/env python3
"""Every real policy in every simulator: replay them all and write benchmarks/crossing.md.

The policies and robots lie beside the project (../shared/real_policies); their contracts are in tests/real_policies.
Each policy is exported as it is (no remap), proven, and replayed on flat ground under the command of its catalogue
entry, driven from its contract by joint names.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import os
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm

import policy_port as pp
from policy_port.plants.registry import SIMULATORS
from policy_port.port.pilot import Pilot
from policy_port.remap import identity_remap
from policy_port.replay import play as replay
from policy_port.replay.result import Result

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"
CONTRACTS = ROOT / "tests" / "real_policies"

BAR = 0.15
"""Largest error of the mean speed, as a share of the catalogue's, that counts as walking at its speed."""

REQUIRED = {"mujoco": 8, "maniskill": 6, "newton": 4}
"""How many policies must walk in each simulator, with one of their robot's files."""

COLUMNS = (
    *("policy", "plant", "file", "survival s", "speed m/s", "error"),
    *("joint tracking RMSE rad", "action rate", "saturated", "verdict"),
)

PACKAGES = ("mujoco", "mani_skill", "sapien", "newton", "warp-lang", "onnxruntime")

NOTES = """\
- **rl_sar_go2_robot_lab is too fast in SAPIEN** with either file, and misses its bar by a hair. The MJCF makes it slow
  elsewhere: its feet roll and twist with friction (condim 6), and its joints have 0.2 N m of friction loss. PhysX has
  neither, and the URDF states neither, with which it is as fast in MuJoCo and Newton. In MuJoCo, the MJCF with condim 3
  gave +10.0 %, also without friction loss +12.3 %, also without joint damping +16.1 %. The ground's friction is not it:
  less of it makes the policy faster still in SAPIEN (+14.1 % at 1.2, +16.9 % at 1.0, +25.3 % at 0.4): 0.4 is what the
  MJCF states of the feet and what MuJoCo and Newton use, and since 2026-11-28 SAPIEN too.
- **newton_assets_physx_go2 fell in SAPIEN** at first (after 1.1 s with the MJCF, 5.9 s with the URDF). Its descriptor
  states no effort limit and the contract had put in 300 N m; of ten start heights between 0.32 and 0.40 m it fell
  from one with the MJCF and from four with the URDF. With the limits of the real motors (23.7 and 45.43 N m, go2.xml)
  it fell from none, so its contract states those now. It saturates them most, and is the slowest, in SAPIEN.
- **newton-assets' policies read the centre of mass's velocity** since 2026-11-28. Before, they were fed the link's
  origin's, and newton_assets_physx_go2 missed its bar in SAPIEN with the MJCF (-16.7 %).
- **Saturated implicit drives**: MuJoCo drops the damping of a saturated actuator from its implicit integration. While
  Newton's drives were made that way, the same policy reached 0.76 m/s with 10 % of its torques at the limit; with the
  damping as the joint's own, as the MuJoCo plant has it, it walks at its speed.
- **go1 has no URDF**; its gains are in the MJCF's actuators (actuation kind `model`), which the SAPIEN plant applies
  explicitly.
- **Newton orders the joints of anymal_c.xml backwards** (RH, LH, RF, LF): its importer takes the bodies inside an
  MJCF's `<frame>`s last first. By name nothing happens; by position it would be a fourth order of that robot.
- Saturation is the share of steps and joints at 99 % of the contract's effort limit, "-" where the contract states
  none. Newton's contacts have no margin, which the MJCF of go2 asks for (1 mm).
"""


@dataclass(frozen=True, kw_only=True)
class Crossing:
    """One policy on one robot file in one simulator."""

    policy: str
    plant: str
    file: str
    catalogue: float
    """Mean forward speed that the catalogue measured [m/s]."""
    result: Result | None
    """None where the simulator can't load the robot."""
    reason: str = ""
    """Why it can't."""

    @property
    def error(self) -> float | None:
        """Error of the mean speed as a share of the catalogue's; None where the robot fell too early to tell."""
        speed = None if self.result is None else self.result["mean_lin_vel_x"]
        return None if speed is None else speed / self.catalogue - 1.0

    @property
    def walks(self) -> bool:
        """Whether it stayed up at the catalogue's speed."""
        up = self.result is not None and self.result["fallen"] == 0
        return up and self.error is not None and abs(self.error) <= BAR


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=10.0, help="length of a walk (default: 10)")
    parser.add_argument("--plants", default=",".join(SIMULATORS), help="simulators, separated by commas")
    parser.add_argument("--policies", default="", help="names in the catalogue, separated by commas; all, if not given")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "crossing.md", help="the table to write")
    options = parser.parse_args()
    try:
        crossings = cross(
            options.plants.split(","), options.policies.split(",") if options.policies else None, options.seconds
        )
    except (pp.PolicyPortError, OSError) as error:
        sys.exit(f"error: {error}")
    options.out.write_text(document(crossings, options.seconds), encoding="utf-8")
    print(summary(crossings))
    print(f"wrote {options.out}")


def cross(plants: list[str], policies: list[str] | None, seconds: float) -> list[Crossing]:
    """Export each policy once, and replay it on every file of its robot in every simulator."""
    catalogue = yaml.safe_load((SHARED / "catalogue.yaml").read_text(encoding="utf-8"))
    entries = [entry for entry in catalogue["policies"] if policies is None or entry["id"] in policies]
    jobs = [(e, plant, file) for e in entries for plant in plants for file in robot_files(catalogue, e["robot"])]
    found = []
    with tempfile.TemporaryDirectory() as folder:
        for entry, plant, file in tqdm(jobs, unit="walk", disable=None):
            onnx = Path(folder) / entry["id"]
            contract = pp.load_contract(CONTRACTS / f"{entry['id']}.yaml")
            if not onnx.exists():
                pp.write_port(onnx, pp.load_policy(SHARED / entry["file"]), identity_remap(contract), formats=("onnx",))
            pilot = Pilot(onnx=onnx / "policy.onnx", network_contract=contract)
            found.append(walk(pilot, entry, plant, file, seconds))
    return found


def robot_files(catalogue: dict[str, Any], robot: str) -> list[str]:
    """The MJCF and, where there is one, the URDF; of files that include each other the outer one."""
    files = [file for file in catalogue["robots"][robot]["files"] if Path(file).name != "go1.xml"]
    return sorted(files, key=lambda file: Path(file).suffix, reverse=True)


def walk(pilot: Pilot, entry: dict[str, Any], plant: str, file: str, seconds: float) -> Crossing:
    """Follow the command of the catalogue's entry."""
    vx, vy, turn = (float(value) for value in entry["baseline"]["command"])
    about: dict[str, Any] = {"policy": entry["id"], "plant": plant, "file": Path(file).name}
    about["catalogue"] = entry["baseline"]["mean_vx"]
    with tempfile.TemporaryDirectory() as folder:
        try:
            result = replay.play_on_plant(
                pilot,
                replay.Held(command=(vx, vy, turn), seconds=seconds),
                replay.Output(folder=Path(folder)),
                kind=plant,
                robot=SHARED / file,
            )
        except (pp.PolicyPortError, OSError) as error:
            return Crossing(**about, result=None, reason=str(error).replace(str(SHARED), "real_policies"))
    return Crossing(**about, result=result)


def document(crossings: list[Crossing], seconds: float) -> str:
    """The whole of crossing.md."""
    versions = [f"policy-port {pp.__version__}"]
    for package in PACKAGES:
        try:
            versions.append(f"{package} {importlib.metadata.version(package)}")
        except importlib.metadata.PackageNotFoundError:
            versions.append(f"{package} absent")
    lines = [
        "# Real policies crossing simulators",
        "",
        f"Written by `benchmarks/crossing.py` on {datetime.date.today().isoformat()}; {os.cpu_count()} CPU cores, "
        "no GPU; "
        f"{', '.join(versions)}.",
        "",
        f"Each policy walks {seconds:g} s on flat ground under the command of its catalogue entry, driven from its",
        "contract (tests/real_policies) through a port without a remap. Speed is forward, in the base frame, after",
        f"2 s; its error is against the catalogue. A policy walks when it stays up within {100 * BAR:.0f} % of that.",
        "",
        summary(crossings),
        "",
        "## Single walks",
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(row(crossing) for crossing in crossings),
        "",
        "## What was found",
        "",
        NOTES,
    ]
    return "\n".join(lines)


def summary(crossings: list[Crossing]) -> str:
    """Speed error of each policy in each simulator, per file, and how many walk."""
    plants = list(dict.fromkeys(crossing.plant for crossing in crossings))
    lines = ["| policy | " + " | ".join(plants) + " |", "|---" * (len(plants) + 1) + "|"]
    for policy in dict.fromkeys(crossing.policy for crossing in crossings):
        cells = []
        for plant in plants:
            mine = [c for c in crossings if (c.policy, c.plant) == (policy, plant)]
            cells.append(", ".join(f"{Path(c.file).suffix[1:].replace('xml', 'mjcf')} {brief(c)}" for c in mine))
        lines.append(f"| {policy} | " + " | ".join(cells) + " |")
    counts = []
    for plant in plants:
        walking = {crossing.policy for crossing in crossings if crossing.plant == plant and crossing.walks}
        counts.append(f"**{len(walking)}** (bar: {REQUIRED[plant]})")
    return "\n".join([*lines, "| **walk with one of their files** | " + " | ".join(counts) + " |"])


def brief(crossing: Crossing) -> str:
    """A walk in a few characters."""
    if crossing.result is None:
        return "does not load"
    if crossing.result["fallen"]:
        return f"falls at {crossing.result['survival']:.1f} s"
    return "-" if crossing.error is None else f"{100 * crossing.error:+.1f} %" + ("" if crossing.walks else " (missed)")


def row(crossing: Crossing) -> str:
    """A walk as a row of the long table."""
    head = f"| {crossing.policy} | {crossing.plant} | {crossing.file} | "
    result = crossing.result
    if result is None:
        return head + f"| | | | | | does not load: {crossing.reason} |"
    share = result["effort_saturation"]
    cells = [
        f"{result['survival']:.2f}",
        number(result["mean_lin_vel_x"], "{:.3f}"),
        number(crossing.error, "{:+.1%}"),
        number(result["joint_tracking_rmse"], "{:.3f}"),
        number(result["action_rate"], "{:.3f}"),
        number(share, "{:.1%}"),
        "walks" if crossing.walks else "fell" if result["fallen"] else "missed",
    ]
    return head + " | ".join(cells) + " |"


def number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    main()
