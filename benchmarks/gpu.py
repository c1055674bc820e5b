"""Worlds on a GPU: the bare physics step, the same with a policy in the loop, and how far both agree with the CPU.

One command for a machine with a card, `.venv/bin/python benchmarks/gpu.py --out gpu.json`; with `--device cpu` it runs
the same code small, Warp's kernels on the processor. Steps are control steps of all worlds; what is compared is timed
in turns. What is not here is said and left out.
"""

from __future__ import annotations

import argparse
import contextlib
import itertools
import json
import os
import platform
import resource
import statistics
import sys
import tempfile
import time
import xml.etree.ElementTree as ET
from collections.abc import Callable, Mapping
from importlib.metadata import version
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from torch import nn

from policy_port.checkpoints.networks.layers import FeedForwardActor, Normaliser
from policy_port.contract import Contract
from policy_port.device.held import DeviceReplay
from policy_port.errors import MissingDependencyError, RobotError
from policy_port.export.onnx_graph import build_onnx
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.plants.newton_plant import NewtonPlant
from policy_port.plants.newton_tensors import NewtonTensors
from policy_port.plants.setup import PlantSetup
from policy_port.port.pilot import Pilot
from policy_port.replay.held import Held

ROOT = Path(__file__).resolve().parents[1]
SHARED = Path(os.environ.get("POLICY_PORT_SHARED", ROOT.parent / "shared")) / "real_policies" / "robots"
TARGET, AT = 0.95, 4096
PARITY_STEPS = 50
STANCE = {"thigh": 0.8, "calf": -1.5, "hip_pitch": -0.2, "knee": 0.4, "ankle_pitch": -0.2}
"""Default poses by what a joint is called [rad]."""

Row = dict[str, Any]


def robots() -> dict[str, Path]:
    """Robot files that are here: those beside the project, else those of installed packages."""
    places = {
        "go2": [SHARED / "go2" / "go2.xml"],
        "g1": [SHARED / "g1_29dof" / "g1_29dof.xml", *sorted((SHARED / "g1_29dof").glob("*.xml"))],
    }
    if (spec := find_spec("mani_skill")) and spec.submodule_search_locations:
        places["g1"].append(Path(spec.submodule_search_locations[0], "assets/robots/g1_humanoid/g1.urdf"))
    if (spec := find_spec("newton")) and spec.submodule_search_locations:
        places["go2"].append(Path(spec.submodule_search_locations[0], "examples/assets/quadruped.urdf"))
    found = {}
    for name, files in places.items():
        here = next((file for file in files if file.is_file()), None)
        if here is None:
            print(f"{name}: left out, none of {', '.join(map(str, files))} is here")
        else:
            found[name] = here
            print(f"{name}: {here}")
    return found


def contract_of(robot: Path) -> Contract:
    """A usual walking contract for a robot: 50 Hz, implicit drives, the observation of a velocity task."""
    names = [
        str(joint.get("name"))
        for joint in ET.parse(robot).getroot().iter("joint")
        if joint.get("name") and joint.get("type", "hinge") in ("hinge", "slide", "revolute", "continuous", "prismatic")
    ]
    poses = {name: next((pose for part, pose in STANCE.items() if part in name.lower()), 0.0) for name in names}
    terms = ("base_ang_vel", "projected_gravity", "velocity_command", "joint_pos_rel", "joint_vel", "last_action")
    return Contract.model_validate(
        {
            "contract_version": 1,
            "name": robot.stem,
            "robot": str(robot),
            "trained_in": "nowhere",
            "quaternion_order": "wxyz",
            "timestep": 0.005,
            "decimation": 4,
            "base": {"floating": True, "min_height": -1.0, "max_tilt": 3.1},
            "actuation": {"kind": "implicit"},
            "joints": {name: {"default": poses[name], "stiffness": 40.0, "damping": 1.0} for name in names},
            "observation": {"terms": [{"term": term} for term in terms]},
            "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
        }
    )


def pilot_of(contract: Contract, folder: Path) -> Pilot:
    """A random network of 512, 256 and 128, as a port's two files."""
    torch.manual_seed(0)
    widths = [contract.observation_size, 512, 256, 128, contract.action_size]
    layers: list[nn.Module] = []
    for width, following in itertools.pairwise(widths[:-1]):
        layers += [nn.Linear(width, following), nn.ELU()]
    actor = FeedForwardActor(
        normaliser=Normaliser(torch.zeros(widths[0]), torch.ones(widths[0]), None),
        layers=nn.Sequential(*layers, nn.Linear(widths[-2], widths[-1])),
        head=nn.Identity(),
        obs_size=widths[0],
        action_size=widths[-1],
    ).eval()
    traced = trace(actor)
    onnx.save_model(build_onnx(traced, actor), folder / "policy.onnx")
    save_torchscript(folder / "policy.pt", traced, actor, {})
    return Pilot(onnx=folder / "policy.onnx", torchscript=folder / "policy.pt", network_contract=contract)


def turns(calls: Mapping[str, Callable[[], object]], rounds: int, repeats: int, settle: Callable[[], object]) -> Row:
    """Seconds per call of each variant, round by round; `settle` waits for the device."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for number in range(rounds + 1):
        for name in calls if number % 2 else reversed(list(calls)):
            settle()
            start = time.perf_counter()
            for _ in range(repeats):
                calls[name]()
            settle()
            if number:
                times[name].append((time.perf_counter() - start) / repeats)
    return times


def worlds(robot: str, file: Path, pilot: Pilot, count: int, args: argparse.Namespace) -> Row:
    """One row of the table."""
    cuda = args.device != "cpu"
    before = memory(cuda)
    contract = pilot.contract
    plant = NewtonPlant(
        file, PlantSetup.from_contract(contract), num_envs=count, meshes=False, device=args.device, native=False
    )
    held = Held(command=(0.5, 0.0, 0.0), seconds=1e6 * contract.control_dt)
    replay = DeviceReplay(pilot, plant, held, held.goals_of(contract))
    settle = torch.cuda.synchronize if cuda else (lambda: None)
    with torch.inference_mode():
        for _ in range(6 if cuda else 1):
            replay.step()
        calls = {"bare": lambda: replay.plant.step(contract.decimation), "policy": replay.step}
        times = turns(calls, args.rounds, args.repeats, settle)
        replay.controller.check()
    bare, policy = (statistics.median(times[name]) for name in ("bare", "policy"))
    ratio = statistics.median(b / p for b, p in zip(times["bare"], times["policy"], strict=True))
    plant.close()
    return {
        "robot": robot,
        "worlds": count,
        "bare_ms": 1e3 * bare,
        "policy_ms": 1e3 * policy,
        "ratio": ratio,
        "steps_per_s": count / policy,
        "memory_mib": (memory(cuda) - before) / 2**20,
    }


def memory(cuda: bool) -> float:
    """What is taken of the device's memory, of this process's on the CPU [bytes]."""
    if cuda:
        free, whole = torch.cuda.mem_get_info()
        return float(whole - free)
    return 1024.0 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


def parity(file: Path, contract: Contract, count: int, device: str) -> Row:
    """The largest difference between worlds in MuJoCo Warp on the device and MuJoCo on the CPU, each world its own."""
    setup, rng = PlantSetup.from_contract(contract), np.random.default_rng(0)
    plants = [
        NewtonPlant(file, setup, num_envs=count, meshes=False, device=where, native=native)
        for where, native in ((device, False), ("cpu", True))
    ]
    views = [NewtonTensors(plant) for plant in plants]
    pose = np.array([contract.joints[name].default for name in plants[0].joint_names])
    worst = {"joint_pos": 0.0, "base_pos": 0.0}
    offsets = 0.1 * rng.standard_normal((count, len(pose)))
    for step in range(PARITY_STEPS):
        target = pose + offsets * np.sin(0.2 * step)
        for view in views:
            view.write(torch.as_tensor(target, dtype=torch.float32, device=view.device))
            view.step(contract.decimation)
            view.read()
        for name in worst:
            one, other = (view.state[name].cpu() for view in views)
            worst[name] = max(worst[name], float((one - other).abs().max()))
    for plant in plants:
        plant.close()
    return {"worlds": count, "steps": PARITY_STEPS, **{f"{name}_worst": value for name, value in worst.items()}}


def maniskill(backend: str, count: int, args: argparse.Namespace) -> Row | str:
    """Control steps of ManiSkill's tensors with a layer in between; why not, where it can't be."""
    from policy_port.replay.open_env import open_env

    try:
        env = open_env("PolicyPortSO100Reach-v1", control_mode=None, draws=False, num_envs=count, sim_backend=backend)
    except (MissingDependencyError, RobotError) as cause:
        return str(cause).splitlines()[0]
    settle = torch.cuda.synchronize if backend == "physx_cuda" else (lambda: None)
    with contextlib.closing(env):
        env.reset(seed=0)
        action = torch.zeros(count, env.unwrapped.single_action_space.shape[0], device=env.unwrapped.device)
        layer = nn.Linear(512, action.shape[1]).to(action.device)
        seen = torch.zeros(count, 512, device=action.device)
        calls = {"bare": lambda: env.step(action), "policy": lambda: env.step(0.01 * layer(seen))}
        with torch.inference_mode():
            times = turns(calls, args.rounds, args.repeats, settle)
    bare, policy = (statistics.median(times[name]) for name in ("bare", "policy"))
    return {"worlds": count, "bare_ms": 1e3 * bare, "policy_ms": 1e3 * policy, "ratio": bare / policy}


def table(rows: list[Row]) -> str:
    """The rows as Markdown."""
    head = "| robot | worlds | bare ms | with policy ms | ratio | control steps/s | memory MiB |"
    lines = [head, "|---|---|---|---|---|---|---|"]
    for row in rows:
        missed = " !" if row["worlds"] == AT and row["ratio"] < TARGET else ""
        lines.append(
            f"| {row['robot']} | {row['worlds']} | {row['bare_ms']:.2f} | {row['policy_ms']:.2f} | "
            f"{row['ratio']:.2f}{missed} | {row['steps_per_s']:.0f} | {row['memory_mib']:.0f} |"
        )
    return "\n".join(lines)


def about(device: str) -> Row:
    """Card and versions."""
    card = torch.cuda.get_device_name() if device != "cpu" else platform.processor() or platform.machine()
    packages = ("torch", "warp-lang", "newton", "mujoco-warp", "mujoco", "mani_skill", "sapien")
    found = {}
    for package in packages:
        with contextlib.suppress(Exception):
            found[package] = version(package)
    return {"device": device, "card": card, "python": platform.python_version(), **found}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", default="cuda", help="cuda, or cpu for the small version")
    parser.add_argument("--worlds", type=int, nargs="+", help="default: 1 256 4096 16384; on the CPU 1 16")
    parser.add_argument("--robots", nargs="+", help="default: all that are here")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--repeats", type=int, default=20, help="control steps in a turn")
    parser.add_argument("--minutes", type=float, default=7.0, help="nothing is begun after so many")
    parser.add_argument("--out", type=Path, help="write everything as JSON")
    args = parser.parse_args()
    cuda = args.device != "cpu"
    if cuda and not torch.cuda.is_available():
        sys.exit("gpu.py: torch finds no NVIDIA GPU or driver here; --device cpu runs the small version")
    if not cuda:
        # Threads of tiny products cost more than they bring.
        torch.set_num_threads(1)
    args.worlds = args.worlds or ([1, 256, 4096, 16384] if cuda else [1, 16])
    end, found = time.monotonic() + 60.0 * args.minutes, {"about": about(args.device), "rows": [], "parity": {}}
    print(" ".join(f"{name} {value}" for name, value in found["about"].items()))
    for robot, file in robots().items():
        if args.robots and robot not in args.robots:
            continue
        with tempfile.TemporaryDirectory() as folder:
            contract = contract_of(file)
            pilot = pilot_of(contract, Path(folder))
            for count in args.worlds:
                if time.monotonic() > end:
                    print(f"{robot}, {count} worlds: left out, {args.minutes:g} minutes are over")
                    continue
                try:
                    found["rows"].append(worlds(robot, file, pilot, count, args))
                except (RuntimeError, MemoryError) as cause:
                    # Sixteen thousand worlds need more memory than some cards have.
                    print(f"{robot}, {count} worlds: {str(cause).splitlines()[0]}")
                    continue
                print(table(found["rows"][-1:]).splitlines()[-1], flush=True)
            if time.monotonic() < end:
                found["parity"][robot] = parity(file, contract, 256 if cuda else 4, args.device)
                print(f"{robot} against the CPU: {found['parity'][robot]}", flush=True)
    # On the CPU, where PhysX has one world, this tries the code and says nothing of a card.
    backend, count = ("physx_cuda", 1024) if cuda else ("physx_cpu", 1)
    found["maniskill"] = {backend: maniskill(backend, count, args)}
    print(f"ManiSkill on {backend}: {found['maniskill'][backend]}")
    print(f"\n{table(found['rows'])}\n\nTarget of the ratio at {AT} worlds: {TARGET}")
    if args.out is not None:
        args.out.write_text(json.dumps(found, indent=2) + "\n")


if __name__ == "__main__":
    main()
