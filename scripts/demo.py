"""The project's main job on the policy that ships with it: remap, export, prove, replay in two simulators.

The SO100 reach policy was trained in ManiSkill, in radians. It is ported to the way LeRobot reads the arm (degrees,
another zero of the elbow, the gripper in percent) and replayed in ManiSkill and MuJoCo read in that way, once with
the remap and once with the remap left out.
"""

from __future__ import annotations

import argparse
import math
import shutil
import sys
from dataclasses import replace
from pathlib import Path

import policy_port as pp
from demo_plot import Crossing, plot_crossing
from policy_port.remap import identity_remap
from policy_port.remap.describe import table
from policy_port.replay import play as replay
from policy_port.replay.result import Result
from policy_port.resources import assets_dir
from policy_port.tasks.reach import SO100_REACH
from policy_port.tasks.so100_reach_env import ENV_ID

MAPPING = "so100_maniskill_to_lerobot"
EPISODE_SECONDS = SO100_REACH.episode_steps / SO100_REACH.control_frequency
SIMULATORS = ("maniskill", "mujoco")


def main() -> None:
    """Run the demonstration; see --help."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("runs/demo"), help="folder to write, replaced if it is there")
    parser.add_argument("--episodes", type=int, default=20, help="episodes per replay (default: 20)")
    parser.add_argument("--seed", type=int, default=1000, help="seed of the first episode (default: 1000)")
    options = parser.parse_args()
    shutil.rmtree(options.out, ignore_errors=True)
    try:
        _demonstrate(options.out, options.episodes, options.seed)
    except pp.PolicyPortError as error:
        sys.exit(f"error: {error}")


def _demonstrate(out: Path, episodes: int, seed: int) -> None:
    shipped = assets_dir() / "so100_reach"
    policy = pp.load_policy(shipped / "model.pt")
    source = pp.load_contract(shipped / "contract.yaml")
    mapping = pp.load_mapping(MAPPING)

    _say(f"remap, export and prove {shipped.name} for {mapping.target}")
    port = pp.write_port(out / "port", policy, pp.build_remap(source, mapping))
    untouched = pp.write_port(out / "port_without_remap", policy, identity_remap(source))
    if port.onnx is None or untouched.onnx is None:
        raise AssertionError("write_port writes ONNX unless told otherwise")
    # Both networks are shown what the arm's driver reads; the second one is the checkpoint as it was.
    networks = {"remapped": port.onnx, "remap left out": untouched.onnx}

    rows = []
    folders = {(s, label): out / f"{s}_{label.replace(' ', '_')}" for s in SIMULATORS for label in networks}
    for simulator in SIMULATORS:
        for label, onnx in networks.items():
            _say(f"{episodes} episodes in {simulator}, {label}")
            folder = folders[simulator, label]
            pilot = replace(port.pilot(mapping), onnx=onnx)
            result = _replay(pilot, simulator, folder, episodes, seed, pictures=label == "remapped")
            parity = _parity_error(port if label == "remapped" else untouched)
            rows.append((simulator, label, f"{parity:.1e}", *_summary(result)))
    print()
    print(table(("simulator", "policy", "parity error", "success rate", "mean final distance"), rows))
    print(
        "\nParity error: largest difference from the checkpoint in float64, as a fraction of the joint's action range."
    )
    print("It proves the export; the replay shows that without its remap it is a perfect copy of the wrong thing.\n")
    crossings = {
        simulator: Crossing(
            video=folders[simulator, "remapped"] / replay.VIDEO,
            remapped=folders[simulator, "remapped"] / replay.TRACE,
            left_out=folders[simulator, "remap left out"] / replay.TRACE,
        )
        for simulator in SIMULATORS
    }
    title = f"{source.name}: trained in {mapping.source}, replayed as {mapping.target}"
    plot_crossing(crossings, out / "replay.png", title=title)
    for simulator, crossing in crossings.items():
        print(f"video in {simulator}: {crossing.video}")
    print(f"plot: {out / 'replay.png'}")
    print(f"port: {port.path}")


def _replay(pilot: pp.Pilot, simulator: str, folder: Path, episodes: int, seed: int, *, pictures: bool) -> Result:
    folder.mkdir(parents=True)
    # One episode is enough to see; a software renderer takes longer for a picture than for a second of simulation.
    output = replay.Output(folder=folder, video=pictures, video_seconds=EPISODE_SECONDS, plot=pictures)
    if simulator == "maniskill":
        job = replay.EpisodeJob(task=ENV_ID, episodes=episodes, seed=seed)
        return replay.play_in_env(pilot, job, output)
    job = replay.EpisodeJob(task="so100-reach", episodes=episodes, seed=seed)
    return replay.play_on_plant(pilot, job, output, kind=simulator, robot=pilot.contract.robot)


def _summary(result: Result) -> tuple[str, str]:
    success, distance = result["success_rate"], result["mean_final_distance"]
    assert success is not None
    assert distance is not None
    shown = f"{1000 * distance:.1f} mm" if math.isfinite(distance) else "diverged"
    return f"{100 * success:.0f} %", shown


def _parity_error(port: pp.Port) -> float:
    """Largest error on realistic observations over the joint's action range, over all files of the port."""
    errors = []
    for file in port.parity["files"]:
        ranges = {joint["joint"]: joint["action_range"] for joint in file["joints"]}
        realistic = (group for group in file["groups"] if group["group"] == "realistic")
        errors += [group["max"] / ranges[group["joint"]] for group in realistic]
    return max(errors)


def _say(what: str) -> None:
    print(f"== {what}", flush=True)


if __name__ == "__main__":
    main()
