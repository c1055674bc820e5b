#!/usr/bin/env python3
"""Every real policy in every simulator: play them all and write benchmarks/crossing.md.

The policies and robots lie beside the project (../shared/real_policies), their contracts in tests/real_policies, and
crossing.yaml here says what each is asked for and what its bar is. Each policy is exported as it is (no remap), proven,
and played on flat ground by the program's own commands. `--only NAME ...` replaces the rows of single policies.
"""

from __future__ import annotations

import argparse
import datetime
import importlib.metadata
import json
import os
import re
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml
from tqdm import tqdm
from typer.testing import CliRunner

import policy_port as pp
from policy_port.cli.app import app
from policy_port.plants.registry import SIMULATORS

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"
CONTRACTS = ROOT / "tests" / "real_policies"

BAR = 0.15
"""Largest error of the mean speed, as a share of what is expected, that counts as moving at its speed."""
DONE = {"walk": "walks", "roll": "rolls", "follow": "follows", "stand": "stands"}
"""What is said of a policy that meets its bar, by the kind of bar."""

COLUMNS = (
    *("policy", "plant", "file", "survival s", "figure", "against its bar"),
    *("joint tracking RMSE rad", "action rate", "saturated", "verdict", "on"),
)
SINGLE = "## Single runs"

PACKAGES = ("mujoco", "mani_skill", "sapien", "newton", "warp-lang", "onnxruntime")

Row = dict[str, str]
"""A cell by each column; a policy that can't be played has its reason as the verdict."""

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
- **rl_sar_go2w** rolled at 0.198 m/s in SAPIEN at first: PhysX lets a wheel touch the motor housing beside it, which is
  fixed to the calf that the wheel hangs from. Since 2026-11-28 links fixed to each other are one body there, as in
  MuJoCo and Newton, which also moved the ANYmals with the URDF from -0.5 to +3.6 % and from -3.5 to +0.5 %. Its wheels,
  meshes in the files, are cylinders of 0.086 m here.
- **tron1_pf** walks everywhere and is too fast: its bar is the command, and its file does not say what 1 m/s is to the
  network. Taken are the observation's scales (2, 2, 0.25).
- **pbhc_horse_stance**: its robot's feet are meshes only, and stand on four spheres each here. Newton can't read the
  file, whose comments are nested.
- **go1 has no URDF**; its gains are in the MJCF's actuators (actuation kind `model`), which the SAPIEN plant applies
  explicitly.
- **Newton orders the joints of anymal_c.xml backwards** (RH, LH, RF, LF): its importer takes the bodies inside an
  MJCF's `<frame>`s last first. By name nothing happens; by position it would be a fourth order of that robot.
- Saturation is the share of steps and joints at 99 % of the contract's effort limit, "-" where the contract states
  none. Newton's contacts have no margin, which the MJCF of go2 asks for (1 mm).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plants", default=",".join(SIMULATORS), help="simulators, separated by commas")
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="policies whose rows are replaced")
    parser.add_argument("--out", type=Path, default=ROOT / "benchmarks" / "crossing.md", help="the table to write")
    options = parser.parse_args()
    try:
        catalogue = load_catalogue(ROOT / "benchmarks" / "crossing.yaml", CONTRACTS)
        if strange := [name for name in options.only if name not in catalogue]:
            sys.exit(f"error: no policy is called '{strange[0]}'. There are: {', '.join(catalogue)}")
        plants = options.plants.split(",")
        if strange := [plant for plant in plants if plant not in SIMULATORS]:
            sys.exit(f"error: no simulator is called '{strange[0]}'. There are: {', '.join(SIMULATORS)}")
        chosen = {name: entry for name, entry in catalogue.items() if not options.only or name in options.only}
        fresh = list(cross(chosen, plants))
        partial = options.only or len(plants) < len(SIMULATORS)
        old = read_rows(options.out.read_text(encoding="utf-8")) if partial and options.out.is_file() else []
    except (pp.PolicyPortError, OSError) as error:
        sys.exit(f"error: {error}")
    rows = merged(old, fresh, list(catalogue))
    options.out.write_text(document(rows), encoding="utf-8")
    print(summary(rows))
    print(f"wrote {options.out}")


def load_catalogue(path: Path, contracts: Path) -> dict[str, dict[str, Any]]:
    """What is asked of each policy, by its name; a contract without an entry gets a row that says so."""
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = {
        name: entry | {"files": data["robots"].get(entry.get("robot"), [])} for name, entry in data["policies"].items()
    }
    for contract in sorted(contracts.glob("*.yaml")):
        entries.setdefault(contract.stem, {"reason": f"{path.name} has no entry of that name", "files": []})
    for name, entry in entries.items():
        if "reason" not in entry and not (contracts / f"{name}.yaml").is_file():
            entry["reason"] = f"{contracts.name} has no contract of that name"
    return entries


def cross(entries: Mapping[str, dict[str, Any]], plants: Sequence[str]) -> Iterator[Row]:
    """Export each policy once, and play it with every file of its robot in every simulator."""
    jobs = [
        (name, plant, file)
        for name, e in entries.items()
        for plant in plants
        for file in e["files"]
        if "reason" not in e
    ]
    yield from (_told(name, "", "", entry["reason"]) for name, entry in entries.items() if "reason" in entry)
    with tempfile.TemporaryDirectory() as folder:
        for name, plant, file in tqdm(jobs, unit="run", disable=None):
            entry, port = entries[name], Path(folder) / name
            if not port.exists() and (said := export(name, entry, port)):
                yield _told(name, plant, file, f"is not exported: {said}")
                continue
            yield run(name, entry, port, (plant, file), Path(folder) / "run")


def export(name: str, entry: dict[str, Any], port: Path) -> str:
    """Make the port; what went wrong, if anything did."""
    files = [SHARED / entry["file"]] if "file" in entry else [wiring(entry["networks"], port)]
    motion = ["--motion", SHARED / entry["motion"]] if "motion" in entry else []
    more = [str(word).replace("SHARED", str(SHARED)) for word in entry.get("export", ())]
    contract = ("--contract", CONTRACTS / f"{name}.yaml")
    return _said("export", *files, *contract, "--format", "onnx", *motion, *more, "--out", port)


def wiring(networks: dict[str, Any], port: Path) -> Path:
    """The wiring of several networks, written beside the port that is to be made."""
    parts = {name: part | {"file": str(SHARED / part["file"])} for name, part in networks["parts"].items()}
    path = port.with_name(f"{port.name}.networks.yaml")
    path.write_text(yaml.safe_dump(networks | {"networks_version": 1, "parts": parts}), encoding="utf-8")
    return path


def robot_file(entry: dict[str, Any], file: str, folder: Path) -> Path:
    """A robot file, or a copy of it with what stands in for meshes that were left out there.

    Raises:
        SystemExit: When an edit does not find what it replaces.
    """
    edits = entry.get("edits", {}).get(file, ())
    text = (SHARED / file).read_text(encoding="utf-8") if edits else ""
    for pattern, replacement, count in edits:
        text, found = re.subn(pattern, replacement, text)
        if found != count:
            sys.exit(f"error: {file}: '{pattern}' stands {found} times, crossing.yaml says {count}")
    if not edits:
        return SHARED / file
    (folder / Path(file).name).write_text(text, encoding="utf-8")
    return folder / Path(file).name


def run(name: str, entry: dict[str, Any], port: Path, where: tuple[str, str], out: Path) -> Row:
    """Play a port in one simulator with one file of its robot."""
    plant, file = where
    command = ["--command", entry["command"]] if "command" in entry else []
    seconds = ["--seconds", entry.get("seconds", 10)] if "seconds" in entry or "follow" not in entry["bar"] else []
    robot = robot_file(entry, file, out.parent)
    play = ("--plant", plant, "--robot", robot, "--no-meshes", "--out", out, "--force", *command, *seconds)
    if said := _said("play", port, *play, *entry.get("play", ())):
        return _told(name, plant, file, "does not run: " + re.sub(r"/\S*/", "", said))
    result = json.loads((out / "metrics.json").read_text(encoding="utf-8"))["metrics"]
    figure, against, met = judged(entry["bar"], result)
    fell = result.get("fallen") or result.get("diverged")
    (kind,) = entry["bar"]
    cells = {
        "survival s": f"{result['survival' if 'survival' in result else 'duration']:.2f}",
        "figure": figure,
        "against its bar": against,
        "joint tracking RMSE rad": number(result["joint_tracking_rmse"], "{:.3f}"),
        "action rate": number(result["action_rate"], "{:.3f}"),
        "saturated": number(result["effort_saturation"], "{:.1%}"),
    }
    return _told(name, plant, file, "fell" if fell else DONE[kind] if met else "missed") | cells


def judged(bar: dict[str, float], result: Mapping[str, Any]) -> tuple[str, str, bool]:
    """The figure that a bar is about, how it stands against it, and whether it is met by a robot that stays up."""
    ((kind, wanted),) = bar.items()
    if kind == "stand":
        return "", "", True
    if kind == "follow":
        error, angle = result["reference_joint_rmse"], result.get("reference_anchor_mean_angle")
        anchor = "" if angle is None else f", anchor {angle:.3f} rad"
        return f"{error:.3f} rad{anchor}", f"{error / wanted:.0%} of {wanted:g} rad", error <= wanted
    speed = result["mean_lin_vel_x"]
    if speed is None:
        return "-", "-", False
    return f"{speed:.3f} m/s", f"{speed / wanted - 1.0:+.1%}", abs(speed / wanted - 1.0) <= BAR


def _said(command: str, *words: Any) -> str:
    """Run one of the program's commands; its complaint, or nothing."""
    done = CliRunner().invoke(app, [command, *map(str, words)])
    if done.exception is not None and not isinstance(done.exception, SystemExit):
        return f"{type(done.exception).__name__}: {done.exception}"
    if done.exit_code == 0:
        return ""
    errors = [line for line in done.output.splitlines() if line.startswith(("error", "Error"))] or [done.output]
    return " ".join(errors[0].split()).replace(str(SHARED), "real_policies").replace("|", "/")


def _told(name: str, plant: str, file: str, verdict: str) -> Row:
    said = {"policy": name, "plant": plant, "file": Path(file).name, "verdict": verdict}
    return dict.fromkeys(COLUMNS, "") | said | {"on": datetime.date.today().isoformat()}


def read_rows(text: str) -> list[Row]:
    """The rows of a table that was written before."""
    lines = [line for line in text.partition(SINGLE)[2].partition("\n## ")[0].splitlines() if line.startswith("| ")]
    found = [dict(zip(COLUMNS, (cell.strip() for cell in line.strip("|").split("|")), strict=False)) for line in lines]
    return [row for row in found if len(row) == len(COLUMNS) and row["policy"] != "policy"]


def merged(old: Sequence[Row], fresh: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """The old rows with the fresh ones in the place of the same policy's in the same simulators."""
    told = {(row["policy"], row["plant"]) for row in fresh} | {(row["policy"], "") for row in fresh}
    bare = {row["policy"] for row in fresh if not row["plant"]}
    kept = [row for row in old if (row["policy"], row["plant"]) not in told and row["policy"] not in bare]
    plants = ["", *SIMULATORS]
    rows = [row for row in (*kept, *fresh) if row["policy"] in names]
    return sorted(rows, key=lambda row: (names.index(row["policy"]), plants.index(row["plant"])))


def document(rows: Sequence[Row]) -> str:
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
        "Each policy acts on flat ground under the command or clip of `benchmarks/crossing.yaml`, driven from its",
        "contract (tests/real_policies) through a port without a remap, its robot without meshes. The verdicts:",
        "",
        f"- **walks**, **rolls**: it stays up within {100 * BAR:.0f} % of the speed that an independent runner had,",
        "  forward in the base frame, after 2 s.",
        "- **follows**: it stays up to the clip's end, its joints within the bar of the clip's (root mean square).",
        "- **stands**: it stays up.",
        "",
        summary(rows),
        "",
        SINGLE,
        "",
        f"| {' | '.join(COLUMNS)} |",
        "|---" * len(COLUMNS) + "|",
        *(f"| {' | '.join(row[column] for column in COLUMNS)} |" for row in rows),
        "",
        "## What was found",
        "",
        NOTES,
    ]
    return "\n".join(lines)


def summary(rows: Sequence[Row]) -> str:
    """How each policy stands in each simulator, per file, and how many meet their bar."""
    plants = [plant for plant in SIMULATORS if any(row["plant"] == plant for row in rows)]
    lines = ["| policy | " + " | ".join(plants) + " |", "|---" * (len(plants) + 1) + "|"]
    names = list(dict.fromkeys(row["policy"] for row in rows))
    for name in names:
        mine = [row for row in rows if row["policy"] == name]
        bare = [row["verdict"] for row in mine if not row["plant"]]
        cells = bare or [", ".join(brief(row) for row in mine if row["plant"] == plant) for plant in plants]
        lines.append(f"| {name} | " + " | ".join(cells + [""] * (len(plants) - len(cells))) + " |")
    met = {(row["policy"], row["plant"]) for row in rows if row["verdict"] in DONE.values()}
    counts = [f"**{sum((name, plant) in met for name in names)}** of {len(names)}" for plant in plants]
    return "\n".join([*lines, "| **meet their bar with one of their files** | " + " | ".join(counts) + " |"])


def brief(row: Row) -> str:
    """A run in a few characters."""
    kind = Path(row["file"]).suffix[1:].replace("xml", "mjcf")
    if row["verdict"] == "fell":
        return f"{kind} falls at {float(row['survival s']):.1f} s"
    if row["verdict"] in (*DONE.values(), "missed"):
        figure = row["figure"].partition(",")[0] if row["figure"].endswith("rad") else row["against its bar"]
        return f"{kind} {figure or 'stays up'}" + (" (missed)" if row["verdict"] == "missed" else "")
    return f"{kind} {row['verdict'].partition(':')[0]}"


def number(value: float | None, form: str) -> str:
    return "-" if value is None else form.format(value)


if __name__ == "__main__":
    main()
