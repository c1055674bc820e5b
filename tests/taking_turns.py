"""Three ports of one robot that take turns: a box on the ground with four arms, and linear policies."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from policy_port.checkpoints import load_policy
from policy_port.contract import Contract
from policy_port.export.write import write_port
from policy_port.remap import identity_remap
from tests.control.networks import save_linear
from tests.samples import LEGS, contract_data

ROBOT = "<mujoco><worldbody><body name='torso' pos='0 0 0.3'><freejoint/>{}</body></worldbody></mujoco>".format(
    "<geom type='box' size='0.2 0.2 0.1' mass='10'/>"
    + "".join(
        f"<body name='arm{i}' pos='{0.1 * i} 0 0.2'><joint name='{name}' axis='0 1 0'/>"
        "<geom size='0.02' pos='0 0 0.1' mass='0.1'/></body>"
        for i, name in enumerate(LEGS)
    )
)
SCHEDULE = """schedule_version: 1
seconds: 0.8
command:
- {at: 0, to: {lin_vel_x: 0.1}}
- {at: 0.2, to: {lin_vel_x: 0.5}, ramp: 0.2}
pushes:
- {at: 0.1, link: torso, impulse: [0, 8, 0], lasts: 0.04}
ports:
- {at: 0, port: quick}
- {at: 0.4, port: stiff, blend: 0.1, largest_jump: 0.02}
- {at: 0.6, port: quick, blend: 0}
"""
TERMS = [{"term": "velocity_command"}, {"term": "joint_pos_rel"}, {"term": "last_action"}]


def write_ports(made: Path) -> Path:
    """Two ports that read a command, whose joint orders and gains differ, and one that reads none; robot, schedule."""
    (made / "toy.xml").write_text(ROBOT)
    (made / "show.yaml").write_text(SCHEDULE)
    for number, (name, terms, stiffness) in enumerate(
        (("quick", TERMS, 10.0), ("stiff", TERMS, 30.0), ("idle", TERMS[1:], 10.0))
    ):
        joints = {
            leg: {"default": 0.0, "stiffness": stiffness, "damping": 1.0, "armature": 0.01}
            for leg in LEGS[:: 1 - 2 * (number % 2)]
        }
        ranges = {"lin_vel_x": [-0.3, 0.3]}
        contract = Contract.model_validate(
            contract_data(name=name, joints=joints, observation={"terms": terms}, command=ranges)
        )
        matrix = np.random.default_rng(number).normal(size=(contract.observation_size, 4)) * 0.2
        policy = load_policy(save_linear(made / f"{name}.onnx", matrix))
        write_port(made / name, policy, identity_remap(contract), formats=("onnx",))
    return made
