"""A four-jointed toy in MuJoCo and a linear policy for it: a suite that takes a second."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import yaml

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

ROBOT = "<mujoco><worldbody><body pos='0 0 1'>{}</body></worldbody></mujoco>".format(
    "".join(
        f"<body pos='{0.2 * i} 0 0'><joint name='{name}' axis='0 1 0'/><geom size='0.02' pos='0 0 -0.1'/></body>"
        for i, name in enumerate(LEGS)
    )
    + "<geom size='0.05'/>"
)

SCHEDULE = [{"command": [0.5, 0.0, 0.0], "seconds": 0.3}, {"command": [0.0, 0.0, 0.2], "seconds": 0.2}]


def write_toy(folder: Path, *names: str, **case: Any) -> Path:
    """A suite with a case of each name, its port and its robot."""
    terms = [{"term": "joint_pos_rel"}, {"term": "velocity_command"}, {"term": "joint_vel", "scale": 0.05}]
    contract = Contract.model_validate(
        contract_data(base={"floating": False}, quaternion_order="none", observation={"terms": terms})
    )
    matrix = np.random.default_rng(0).normal(size=(11, 4)) * 0.2
    policy = load_policy(save_linear(folder / "linear.onnx", matrix))
    write_port(folder / "port", policy, identity_remap(contract), formats=("onnx",))
    (folder / "toy.xml").write_text(ROBOT)
    return write_cases(folder, *names, **case)


def write_cases(folder: Path, *names: str, **case: Any) -> Path:
    data = {
        "port": "port",
        "plant": {"simulator": "mujoco", "robot": "toy.xml"},
        "commands": SCHEDULE,
        "timeout": 60,
        "expect": {"open_loop": {"steps": 20}, "golden": {}},
        **case,
    }
    path = folder / "toy.regress.yaml"
    path.write_text(yaml.safe_dump({"suite_version": 1, "cases": [{"name": name, **data} for name in names]}))
    return path


def meddle(folder: Path, monkeypatch: Any, **what: str) -> None:
    """Let the processes of some cases run code as they start: case name to Python.

    Nothing in the package knows of it: Python runs sitecustomize by itself.
    """
    (folder / "meddling").mkdir()
    code = f"""
import json, os, signal, sys, time
WHAT = json.loads({json.dumps(json.dumps(what))})
job = next((word for word in sys.orig_argv if word.endswith("job.json")), None)
if job:
    exec(WHAT.get(json.load(open(job))["case"], ""))
"""
    (folder / "meddling" / "sitecustomize.py").write_text(code)
    monkeypatch.setenv("PYTHONPATH", str(folder / "meddling"))
