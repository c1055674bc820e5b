"""Evidence for the mutation score: ports of the policies at hand, and traces recorded with their correct contracts."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from mutation_sensed import on_steps, sensing, sensing_policy

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract, load_contract, load_mapping
from policy_port.contract.joints import DRIVE_KEYS
from policy_port.export.write import write_port
from policy_port.plants.registry import make_plant
from policy_port.plants.setup import PlantSetup
from policy_port.port.folder import Port, load_port
from policy_port.remap import build_remap, identity_remap
from policy_port.replay.held import Held, replay_held
from policy_port.replay.reach import replay_reach
from policy_port.resources import assets_dir
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Recorder, Trace

ROOT = Path(__file__).resolve().parents[1]
SHARED = ROOT.parent / "shared" / "real_policies"
CONTRACTS = ROOT / "tests" / "real_policies"

ROBOTS = {
    "mujoco_playground_go1": "robots/go1/scene.xml",
    "newton_assets_mjw_anymal": "robots/anymal_c/anymal_c.xml",
    "newton_assets_mjw_go2": "robots/go2/go2.xml",
    "newton_assets_physx_anymal": "robots/anymal_c/anymal_c.xml",
    "newton_assets_physx_go2": "robots/go2/go2.xml",
    "rl_sar_go2_robot_lab": "robots/go2/go2.xml",
    "unitree_rl_gym_g1_12dof": "robots/g1_12dof/g1_12dof.xml",
    "unitree_rl_lab_g1_29dof": "robots/g1_29dof/g1_29dof.xml",
    "openwbt_loco": "robots/g1_29dof/g1_29dof.xml",
}
"""Robot file of each real policy."""

WALKS = ((0.5, 0.0, 0.0), (0.4, 0.2, 0.0), (0.3, 0.0, -0.4), (0.5, -0.1, 0.3))
HELD_OUT = ((0.6, 0.1, 0.2), (0.4, -0.15, -0.3))
SECONDS = 4.0
"""Commands [m/s, m/s, rad/s] of the evidence and of the traces a mended contract is tried on, and their length [s]."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """One policy with its correct contract."""

    name: str
    policy: Path
    contract: Contract
    robot: str
    walks: bool

    @property
    def key(self) -> str:
        """Name of what is kept of it: another contract is another subject."""
        return f"{self.name}-{self.contract.sha256[:8]}"

    def port(self, folder: Path, mapping: str | None = None) -> Port:
        """The port, exported as the contract says or through a mapping; made once."""
        out = folder / (self.key + (f"--{mapping}" if mapping else ""))
        if not (out / "manifest.json").exists():
            remap = build_remap(self.contract, load_mapping(mapping)) if mapping else identity_remap(self.contract)
            write_port(out, load_policy(self.policy), remap, formats=("onnx",), force=True)
        return load_port(out)


def subjects() -> list[Subject]:
    """The policy that ships with the project, and the real ones where they are at hand."""
    shipped = assets_dir() / "so100_reach"
    found = [
        Subject(
            name="so100_reach",
            policy=shipped / "model.pt",
            contract=load_contract(shipped / "contract.yaml"),
            robot="so100",
            walks=False,
        )
    ]
    for name, robot in ROBOTS.items():
        policy = next(SHARED.glob(f"*/{name}.[po]*"), None) if SHARED.is_dir() else None
        if policy is not None:
            contract = load_contract(CONTRACTS / f"{name}.yaml")
            file = str(SHARED / robot)
            found.append(Subject(name=name, policy=policy, contract=contract, robot=file, walks=True))
    if "newton_assets_mjw_go2" in [subject.name for subject in found]:
        contract = sensing(load_contract(CONTRACTS / "newton_assets_mjw_go2.yaml"))
        policy = sensing_policy(contract, ROOT / "runs" / "mutation" / "sensing.onnx")
        robot = str(on_steps(SHARED / ROBOTS["newton_assets_mjw_go2"], policy.with_suffix(".xml")))
        found.append(Subject(name="sensing_go2", policy=policy, contract=contract, robot=robot, walks=True))
    return found


def record(
    subject: Subject, port: Port, out: Path, *, kind: str = "mujoco", held_out: bool = False, named: bool = False
) -> Path:
    """Record a trace of several commands, or episodes, unless it lies there already.

    The header says what the source simulator applied (gains by joint name, rates), and not the order of observations
    and actions: a trainer that knew that by name would not have made the mistake.
    """
    if out.exists():
        return out
    pilot = port.pilot()
    parts = [out.with_suffix(f".{number}.npz") for number in range(len(HELD_OUT if held_out else WALKS))]
    with stand_up(kind, subject.robot, pilot.contract) as (plant, decimation):
        if subject.walks:
            for command, part in zip(HELD_OUT if held_out else WALKS, parts, strict=True):
                replay_held(pilot, plant, Held(command=command, seconds=SECONDS), decimation=decimation, trace=part)
        else:
            parts = parts[:1]
            seed = 500 if held_out else 0
            replay_reach(pilot, plant, SO100_REACH, seed=seed, episodes=8, decimation=decimation, trace=parts[0])
    join(parts, out, drives(pilot.contract), hidden=() if named else HIDDEN)
    for part in parts:
        part.unlink()
    return out


def drives(contract: Contract) -> dict[str, Any]:
    """What the source simulator applied, by joint name, for the header."""
    found: dict[str, Any] = {}
    for key in DRIVE_KEYS:
        values = {name: getattr(joint, key) for name, joint in contract.joints.items()}
        if all(value is not None for value in values.values()):
            found[key] = values
    return found


HIDDEN = ("action_names", "observation_names", "contract_sha256", "contract")
"""Header entries that the evidence does without: they would give a wrong order away."""


def join(parts: list[Path], out: Path, more: dict[str, Any], *, hidden: tuple[str, ...] = HIDDEN) -> None:
    """Traces one after the other as one, each an episode of its own."""
    traces = [Trace(part) for part in parts]
    header = {key: value for key, value in traces[0].header.items() if key not in (*hidden, *PER_PART)} | more
    episodes = 0
    with Recorder(out, header) as recorder:
        for trace in traces:
            arrays = {name: trace[name] for name in trace}
            count = int(arrays["episode"].max()) + 1
            arrays["episode"] = arrays["episode"] + episodes
            episodes += count
            for step in range(len(arrays["time"])):
                recorder.record(**{name: array[step] for name, array in arrays.items()})


PER_PART = ("steps", "started", "finished", "episodes")
"""Header entries of one part, which say nothing of the whole."""


@contextlib.contextmanager
def stand_up(kind: str, robot: str, contract: Contract) -> Iterator[tuple[Any, int]]:
    """The robot in a simulator as the contract asks for it, and the decimation."""
    setup = PlantSetup.from_contract(contract)
    plant = make_plant(kind, robot, setup, meshes=False)
    try:
        yield plant, setup.decimation
    finally:
        plant.close()


def in_float32(trace: Path, out: Path) -> Path:
    """The trace as a simulator that computes in float32 records it."""
    if not out.exists():
        source = Trace(trace)
        arrays = {name: source[name] for name in source}
        with Recorder(out, source.header) as recorder:
            for step in range(len(arrays["observation"])):
                recorder.record(
                    **{
                        name: array[step].astype(np.float32) if array.dtype.kind == "f" else array[step]
                        for name, array in arrays.items()
                    }
                )
    return out


def one_command(trace: Path, out: Path) -> Path:
    """The first episode alone: a command that never changes, and a robot that walks straight on."""
    if not out.exists():
        source = Trace(trace)
        arrays = {name: source[name] for name in source}
        with Recorder(out, source.header) as recorder:
            for step in np.flatnonzero(arrays["episode"][:, 0] == 0):
                recorder.record(**{name: array[step] for name, array in arrays.items()})
    return out
