"""A sweep of three linear policies on the four-jointed toy, let go in the air: it takes a second."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from policy_port.sweep.worker import WorkerJob
from tests.control.networks import save_linear
from tests.regress.toy import ROBOT
from tests.samples import contract_data

TERMS = [{"term": "joint_pos_rel"}, {"term": "velocity_command"}, {"term": "joint_vel", "scale": 0.05}]


def write_toy(folder: Path) -> Path:
    """Policies of iterations 9, 10 and 200 in two runs, a contract, two robots, and the sweep over them."""
    for number, (run, iteration) in enumerate((("a", 9), ("a", 10), ("b", 200))):
        (folder / "runs" / run).mkdir(parents=True, exist_ok=True)
        matrix = np.random.default_rng(number).normal(size=(11, 4)) * 0.2
        save_linear(folder / "runs" / run / f"model_{iteration}.onnx", matrix)
    data = contract_data(observation={"terms": TERMS})
    data["command"] = {"lin_vel_x": [-1.0, 1.0]}
    (folder / "toy.yaml").write_text(yaml.safe_dump(data))
    for name, hangs in (("light", "0 0 -0.1"), ("heavy", "0 0 -0.2")):
        (folder / name).mkdir(exist_ok=True)
        robot = ROBOT.replace("<body pos='0 0 1'>", "<body pos='0 0 1'><freejoint/>")
        (folder / name / "toy.xml").write_text(robot.replace("0 0 -0.1", hangs))
    return write_sweep(folder)


def write_sweep(folder: Path, **changes: Any) -> Path:
    """The sweep's file; keys can be replaced, and None takes one out."""
    data = {
        "sweep_version": 1,
        "checkpoints": ["runs/*/model_*.onnx"],
        "contracts": {"toy": "toy.yaml"},
        "plants": {
            "light": {"simulator": "mujoco", "robot": "light/toy.xml"},
            "heavy": {"simulator": "mujoco", "robot": "heavy/toy.xml"},
        },
        "reference": "heavy",
        "commands": {"walk": {"command": [0.5, 0.0, 0.0], "seconds": 0.1}},
        "seeds": 3,
        "start_noise": 0.1,
        "score": {"measure": "error", "cap": 1.0},
        **changes,
    }
    path = folder / "sweep.yaml"
    path.write_text(yaml.safe_dump({key: value for key, value in data.items() if value is not None}))
    return path


def inline(todo: Sequence[WorkerJob]) -> Iterator[tuple[WorkerJob, dict[str, Any]]]:
    """Workers one after the other, in this process."""
    for job in todo:
        yield job, job.do([0.0, 0.0])
