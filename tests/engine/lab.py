"""An engine whose stages are drawn, not run: what is tested is what is made of them."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from policy_port.dynamics.document import load_dynamics
from policy_port.engine.document import Engine, read_engine
from policy_port.engine.turning import Turned, turn_crank
from policy_port.files import sha256
from policy_port.pipeline.document import Command
from policy_port.tasks.reach import SO100_REACH
from policy_port.trace import Recorder
from policy_port.train.run import Record

JOINTS = SO100_REACH.joint_names
STEPS = 12


class Lab:
    """Commands that leave what theirs would, and remember that they were called."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.calls, self.said = folder, list[str](), list[str]()
        self.cut = ""
        """The stage in which the process is killed."""
        self.real = [0.3, 0.9, 0.95]
        """Success on the arm of each turn's policy."""
        self.calibration = "a" * 64
        self.forget = ""
        """What a stage does not do: pass dynamics on to a fine-tuning, or keep the seeds."""
        self.stopped = False
        """Whether the policy as it comes is stopped in every episode."""
        self.write()

    def write(self, **changes: Any) -> Path:
        """Write the engine's file."""
        data = {
            "policy_port_engine": 1, "name": "toy", "arm": "so100", "policy": "so100-reach", "turns": 3,
            "emulated": {}, "play": {"episodes": 20},
        }  # fmt: skip
        file = self.folder / "toy.yaml"
        file.write_text(yaml.safe_dump({key: value for key, value in (data | changes).items() if value is not None}))
        return file

    def engine(self) -> Engine:
        """The file, read."""
        return read_engine(self.folder / "toy.yaml")

    def turn(self, until: str | None = None) -> Turned:
        """Turn the crank."""
        return turn_crank(self.engine(), self.commands(), PARTS, self.said.append, until)

    def commands(self) -> Mapping[str, Command]:
        """By what the engine calls them."""
        calls = {
            "collect": self.collect, "identify": self.identify, "finetune": self.finetune, "export": self.export,
            "simulate": self.simulate, "play": self.play,
        }  # fmt: skip
        return {name: Command(call=call, rooms=()) for name, call in calls.items()}

    def begin(self, out: Path) -> None:
        """A stage begins; its folder is there."""
        self.calls.append(out.name)
        out.mkdir(parents=True)
        if out.name == self.cut:
            (out / "half").write_text("written")
            for place in (out.parent, out.parent / ".stages"):
                (place / f".{out.name}.0a1b2c3d.part").mkdir()
                (place / f".{out.name}.0a1b2c3d.part" / "half").write_text("written")
            os.kill(os.getpid(), signal.SIGKILL)

    def collect(self, out: Path, plan: Path, stops: int) -> None:
        """See `policy-port collect`."""
        self.begin(out)
        header = {"joint_names": JOINTS, "control_dt": 0.05, "calibration_sha256": self.calibration, "plan": str(plan)}
        with Recorder(out / "trace.npz", header, durable=False) as recorder:
            recorder.record(joint_pos=np.zeros((1, 6)))

    def identify(self, out: Path, collected: list[Path], runs: list[Path]) -> None:
        """See `policy-port identify`; intervals get narrower with every turn's data."""
        self.begin(out)
        half = 0.1 / len(collected)
        estimate = {"value": 1.0, "interval": [1.0 - half, 1.0 + half], "identified": True}
        held = {"horizon": 0.5, "rmse": 0.004, "stock_rmse": 0.06, "joints": {}}
        data = {"policy_port_dynamics": 1, "robot": {"file": "so100.urdf"}, "held_out": [held],
                "joints": {"elbow_flex": {"damping": estimate}}}  # fmt: skip
        (out / "dynamics.yaml").write_text(yaml.safe_dump(data))

    def finetune(self, out: Path, student: str, supervisor: str, dynamics: Path | None = None) -> None:
        """See `policy-port finetune`."""
        assert Path(supervisor).name == "so100.yaml"
        self.begin(out)
        forgot = dynamics is None or self.forget == "dynamics"
        hashes = {} if forgot or dynamics is None else {"dynamics.yaml": sha256(dynamics)}
        record = Record(
            stage="finetune", seed=0, num_envs=1, device="cpu", plant="mujoco", acting="actor", hashes=hashes,
            versions={},
        )  # fmt: skip
        (out / "run.yaml").write_text(yaml.safe_dump(record.model_dump(exclude_none=True)))

    def export(self, out: Path, policy: Path) -> None:
        """See `policy-port export`; the port is its own name."""
        self.begin(out)
        (out / "policy").write_text(out.name)

    def simulate(self, out: Path, ports: list[Path], supervisor: str, dynamics: Path | None = None) -> None:
        """See `policy-port play --plant`."""
        assert Path(supervisor).name == "so100.yaml"
        self.begin(out)
        under = None if dynamics is None else load_dynamics(dynamics).sha256
        self.perform(out, ports[0], 1.0, dynamics_sha256=under)

    def play(self, out: Path, ports: list[Path], stops: int) -> None:
        """See `policy-port play --real`; the policy as it comes may be stopped at each episode."""
        assert stops == 3
        self.begin(out)
        turn = int(out.name[4])
        rate = self.real[min(turn, len(self.real) - 1)] if "control" not in out.name else self.real[0]
        self.perform(out, ports[0], rate, calibration_sha256=self.calibration)

    def perform(self, out: Path, port: Path, rate: float, **header: Any) -> None:
        """Episodes of which the first ones succeed."""
        first = 1000 if self.forget == "seeds" and "calibration_sha256" in header else 0
        goals = 0.01 if self.forget == "goals" and "calibration_sha256" in header else 0.0
        gave_up = self.stopped and out.name == "turn0-play"
        seeds = range(first, first + (3 if gave_up else 20))
        said = {
            "joint_names": JOINTS, "control_dt": 0.05, "policy_sha256": (port / "policy").read_text(),
            "contract_sha256": "c", "simulator": "drawn",
            "episodes": [{"seed": seed, "env": 0, "episode": number} for number, seed in enumerate(seeds)],
        }  # fmt: skip
        said |= {"stopped": "stopped 3 times in a row", "gave_up": True} if gave_up else {}
        with Recorder(out / "trace.npz", said | {k: v for k, v in header.items() if v}, durable=False) as recorder:
            for number, seed in enumerate(seeds):
                goal = SO100_REACH.episode(seed)[1] + goals
                for step in range(STEPS):
                    state = np.full((1, 6), 0.01 * step + (0.02 if "dynamics_sha256" in header else 0.0))
                    recorder.record(
                        joint_pos=state, target=state, action=state, goal=goal[None], episode=np.array([number]),
                        time=np.array([0.05 * step]),
                    )  # fmt: skip
        episodes = [
            {
                "seed": seed,
                "steps": STEPS,
                "success": number < round(20 * rate) and not gave_up,
                "stopped": "elbow_flex stays 0.31 rad behind" if gave_up else None,
                "final_distance": 0.03 - 0.02 * (number < round(20 * rate)),
            }
            for number, seed in enumerate(seeds)
        ]
        (out / "metrics.json").write_text(json.dumps({"setting": {}, "metrics": {}, "episodes": episodes}))


PARTS = {"dynamics": lambda folder: folder / "dynamics.yaml"}
