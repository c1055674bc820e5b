"""A walking go2 with hidden friction, mass and delay, identified from traces of a policy: the gap before and after.

Robot: `shared/real_policies/robots/go2`; policy: go2_walks. Everything goes through the commands that a user types.
"""

from __future__ import annotations

import argparse
import os
import re
import time
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from typer.testing import CliRunner

from policy_port.cli.app import app
from policy_port.contract import load_contract
from policy_port.dynamics.document import Dynamics, load_dynamics

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies"
ROBOT = SHARED / "robots" / "go2" / "go2.xml"
WALKS = ROOT / "benchmarks" / "go2_walks"
FITTED, HELD_OUT = ("0.5,0,0", "0.3,0.1,0.3", "0.7,-0.1,-0.3"), ("0.4,0,0", "0.6,0,0.2")
RANGES = {"ground_friction": (0.3, 0.7), "base_mass": (-1.0, 4.0), "delay": (0.004, 0.025)}


def call(*given: object) -> str:
    """What a command prints; its failure ends the program."""
    done = CliRunner().invoke(app, [str(item) for item in given])
    if done.exit_code:
        raise SystemExit(f"{' '.join(map(str, given))}\n{done.output}{done.exception or ''}")
    return done.output


def hidden(seed: int) -> Dynamics:
    """A robot that nobody knows."""
    random = np.random.default_rng(seed)
    drawn = {name: float(random.uniform(*ends)) for name, ends in RANGES.items()}
    joints = {name: {"delay": drawn["delay"]} for name in load_contract(WALKS / "contract.yaml").joints}
    common = {"ground_friction": drawn["ground_friction"], "base_mass": drawn["base_mass"]}
    document = {"policy_port_dynamics": 1, "robot": {"file": "go2.xml"}, "joints": joints, "common": common}
    return Dynamics.model_validate(document)


def one(port: Path, folder: Path, seed: int, seconds: float) -> str:
    """Hide, record, identify, compare; a row of the table."""
    truth = hidden(seed)
    (folder / "hidden.yaml").write_text(truth.text)
    play = ("play", port, "--plant", "mujoco", "--robot", ROBOT, "--seconds", seconds)
    for number, command in enumerate((*FITTED, *HELD_OUT)):
        call(*play, "--command", command, "--dynamics", folder / "hidden.yaml", "--out", folder / f"real{number}")
    runs = [folder / f"real{number}" for number in range(len(FITTED) + len(HELD_OUT))]
    held = [part for run in runs[len(FITTED) :] for part in ("--held-out", run)]
    found, began = folder / "found.yaml", time.process_time()
    call("identify", *runs[: len(FITTED)], *held, "--robot", ROBOT, "--contract", WALKS / "contract.yaml",
         "--segments", 60, "--out", found, "--report", folder / "found.html")  # fmt: skip
    spent, learned = time.process_time() - began, load_dynamics(found)
    said, gaps = dict(learned.estimates()), []
    for number, command in enumerate(HELD_OUT):
        stock, under = folder / f"stock{number}", folder / f"learned{number}"
        call(*play, "--command", command, "--out", stock)
        call(*play, "--command", command, "--dynamics", found, "--out", under)
        text = call("compare", folder / f"real{len(FITTED) + number}", stock, under, "--dynamics", found)
        gaps.append([float(re.search(rf"{when}\s+\S+: ([0-9.]+)", text)[1]) for when in ("before", "after")])  # type: ignore[index]
    before, after = np.mean(gaps, axis=0)
    joint = next(iter(truth.joints))
    cells = [str(seed)]
    for name in ("ground_friction", "base_mass", f"{joint}.delay"):
        true, known = dict(truth.estimates())[name].value, said.get(name)
        value = "none" if known is None else f"{known.value:.4g}"
        cells.append(f"{true:.4g} / {value}")
    held_out = learned.held_out[0]
    cells += [f"{held_out.stock_rmse:.4f} / {held_out.rmse:.4f}", f"{before:.4f} / {after:.4f}",
              f"{100.0 * (1.0 - after / before):.0f} %", f"{spent:.0f} s"]  # fmt: skip
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, nargs="*", default=[0, 1, 2])
    parser.add_argument("--seconds", type=float, default=6.0)
    options = parser.parse_args()
    print("| seed | ground friction, true / found | mass [kg] | delay [s] | held-out RMSE, stock / identified [rad] "
          "| gap before / after [rad] | smaller by | CPU time |")  # fmt: skip
    print("|---|---|---|---|---|---|---|---|")
    with TemporaryDirectory() as scratch:
        port = Path(scratch) / "port"
        call("export", WALKS / "model.pt", "--contract", WALKS / "contract.yaml", "--activation", "elu", "--out", port)
        for seed in options.seeds:
            (folder := Path(scratch) / str(seed)).mkdir()
            print(one(port, folder, seed, options.seconds), flush=True)


if __name__ == "__main__":
    main()
