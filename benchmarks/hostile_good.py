"""Inputs that are right, of every kind that policy-port reads: what the hostile ones are made from."""

from __future__ import annotations

import contextlib
import io
import json
import shutil
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
import yaml
from torch import nn

from policy_port.cli.app import app

JOINTS = ("left", "right")
ARM = ("shoulder_pan", "shoulder_lift", "elbow_flex", "wrist_flex", "wrist_roll", "gripper")
OBSERVATIONS = 3 + 3 + 2 + 2 + 2
MJCF = """<mujoco model="cart">
  <worldbody><body name="trunk" pos="0 0 0.3"><freejoint name="root"/><geom type="box" size="0.2 0.1 0.05" mass="3"/>
    <body name="l" pos="0 0.1 0"><joint name="left" axis="0 1 0" range="-2 2"/><geom type="sphere" size="0.05" mass="0.3"/></body>
    <body name="r" pos="0 -0.1 0"><joint name="right" axis="0 1 0" range="-2 2"/><geom type="sphere" size="0.05" mass="0.3"/></body>
  </body></worldbody>
</mujoco>
"""  # noqa: E501
URDF = """<robot name="cart">
  <link name="trunk"><inertial><mass value="3"/><inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial>
    <collision><geometry><box size="0.4 0.2 0.1"/></geometry></collision></link>
  <link name="l"><inertial><mass value="0.3"/><inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <link name="r"><inertial><mass value="0.3"/><inertia ixx="0.1" iyy="0.1" izz="0.1" ixy="0" ixz="0" iyz="0"/></inertial></link>
  <joint name="left" type="revolute"><parent link="trunk"/><child link="l"/><origin xyz="0 0.1 0"/><axis xyz="0 1 0"/>
    <limit lower="-2" upper="2" effort="5" velocity="10"/></joint>
  <joint name="right" type="revolute"><parent link="trunk"/><child link="r"/><origin xyz="0 -0.1 0"/><axis xyz="0 1 0"/>
    <limit lower="-2" upper="2" effort="5" velocity="10"/></joint>
</robot>
"""  # noqa: E501


def contract() -> dict[str, Any]:
    """A cart of two joints that follows a velocity command."""
    joint = {"default": 0.1, "lower": -2.0, "upper": 2.0, "stiffness": 5.0, "damping": 0.2, "effort_limit": 5.0}
    return {
        "contract_version": 1,
        "name": "cart",
        "robot": "cart",
        "trained_in": "nowhere",
        "quaternion_order": "wxyz",
        "timestep": 0.005,
        "decimation": 4,
        "base": {"floating": True, "height": 0.3},
        "actuation": {"kind": "implicit"},
        "joints": {name: dict(joint) for name in JOINTS},
        "observation": {
            "terms": [
                {"term": "base_ang_vel", "scale": 0.25},
                {"term": "velocity_command", "scale": [2.0, 2.0, 0.25]},
                {"term": "joint_pos_rel", "clip": [-5.0, 5.0]},
                {"term": "joint_vel", "scale": 0.05},
                {"term": "last_action"},
            ]
        },
        "action": {"terms": [{"term": "joint_position", "scale": 0.25, "offset": "default"}]},
        "command": {"lin_vel_x": [-1.0, 1.0], "lin_vel_y": [-0.5, 0.5], "ang_vel_z": [-1.0, 1.0]},
    }


def checkpoint() -> dict[str, Any]:
    """What RSL-RL 2 writes."""
    torch.manual_seed(0)
    actor = nn.Sequential(nn.Linear(OBSERVATIONS, 16), nn.ELU(), nn.Linear(16, 8), nn.ELU(), nn.Linear(8, 2))
    critic = nn.Sequential(nn.Linear(OBSERVATIONS, 8), nn.ELU(), nn.Linear(8, 1))
    state = {f"actor.{key}": value.detach() for key, value in actor.state_dict().items()}
    state |= {f"critic.{key}": value.detach() for key, value in critic.state_dict().items()}
    return {
        "model_state_dict": state | {"std": torch.ones(2)},
        "optimizer_state_dict": {"state": {0: {"step": torch.tensor(1.0)}}, "param_groups": [{"lr": 1e-3}]},
        "iter": 100,
        "infos": None,
    }


def agent_yaml() -> dict[str, Any]:
    """The part of RSL-RL 2's agent.yaml that is about the network."""
    policy = {"class_name": "ActorCritic", "activation": "elu", "init_noise_std": 1.0}
    widths = {"actor_hidden_dims": [16, 8], "critic_hidden_dims": [8]}
    return {"policy": policy | widths, "empirical_normalization": False, "num_steps_per_env": 24, "seed": 1}


def suite() -> dict[str, Any]:
    """A suite of one case."""
    return {
        "suite_version": 1,
        "cases": [
            {
                "name": "a",
                "port": "port",
                "plant": {"simulator": "mujoco", "robot": "robot.xml"},
                "commands": [{"command": [0.0, 0.0, 0.0], "seconds": 1}],
                "expect": {"open_loop": {}},
            }
        ],
    }


def mapping() -> dict[str, Any]:
    """Another order, a sign and an offset."""
    return {
        "source_joint_names": list(JOINTS),
        "target_joint_names": list(reversed(JOINTS)),
        "joints": {"left": {"sign": -1, "offset": 0.1}},
    }


def io_descriptors() -> dict[str, Any]:
    """What Isaac Lab exports of a policy's observation, action and robot."""
    module = "isaaclab.envs.mdp.observations."

    def term(function: str, size: int, **more: Any) -> dict[str, Any]:
        overloads = {"clip": None, "flatten_history_dim": True, "history_length": 0, "scale": None}
        extras = {"description": "x", "modifiers": None}
        about = {"name": function, "full_path": module + function, "shape": [size], "extras": extras}
        return about | {"overloads": overloads} | more

    names = list(JOINTS)
    robot = {"joint_names": names, "default_joint_pos": [0.1, 0.1], "default_joint_pos_limits": [[-2.0, 2.0]] * 2}
    gains = {"default_joint_stiffness": [5.0, 5.0], "default_joint_damping": [0.2, 0.2]}
    kind = "isaaclab.envs.mdp.actions.joint_actions.JointPositionAction"
    return {
        "actions": [{"full_path": kind, "joint_names": names, "scale": 0.25, "offset": [0.1, 0.1], "clip": None}],
        "articulations": {"robot": robot | gains},
        "observations": {
            "policy": [
                term("base_ang_vel", 3),
                term("joint_pos_rel", 2, joint_names=names, joint_pos_offsets=[0.1, 0.1]),
                term("joint_vel_rel", 2, joint_names=names, joint_vel_offsets=[0.0, 0.0]),
                term("last_action", 2),
            ]
        },
        "scene": {"physics_dt": 0.005, "dt": 0.02, "decimation": 4},
    }


def env_yaml() -> dict[str, Any]:
    """The part of Isaac Lab's params/env.yaml that an import reads beside the descriptors."""
    term = {"params": {}, "noise": None, "clip": None, "scale": None, "history_length": 0}
    module = "isaaclab.envs.mdp.observations"
    gains = {"joint_names_expr": [".*"], "stiffness": 5.0, "damping": 0.2, "effort_limit": 5.0, "armature": None}
    return {
        "decimation": 4,
        "sim": {"dt": 0.005, "gravity": [0.0, 0.0, -9.81]},
        "scene": {
            "robot": {
                "spawn": {"articulation_props": {"fix_root_link": None}},
                "init_state": {"pos": [0.0, 0.0, 0.3]},
                "actuators": {"all": {"class_type": "isaaclab.actuators.actuator_pd:ImplicitActuator"} | gains},
            }
        },
        "observations": {
            "policy": {
                "concatenate_terms": True,
                "history_length": None,
                "base_ang_vel": {"func": f"{module}:base_ang_vel"} | term,
                "joint_pos": {"func": f"{module}:joint_pos_rel"} | term,
                "joint_vel": {"func": f"{module}:joint_vel_rel"} | term,
                "actions": {"func": f"{module}:last_action"} | term,
            }
        },
    }


def deploy_yaml() -> dict[str, Any]:
    """What unitree_rl_lab writes beside its policy."""
    return {
        "joint_ids_map": [1, 0],
        "step_dt": 0.02,
        "stiffness": [5.0, 5.0],
        "damping": [0.2, 0.2],
        "default_joint_pos": [0.1, 0.1],
        "commands": {"base_velocity": {"ranges": {"lin_vel_x": [-1, 1], "lin_vel_y": [-1, 1], "ang_vel_z": [-1, 1]}}},
        "actions": {"JointPositionAction": {"clip": None, "joint_names": [".*"], "scale": [0.25, 0.25]}
                    | {"offset": [0.1, 0.1], "joint_ids": None}},
        "observations": {
            "base_ang_vel": {"params": {}, "clip": [-100.0, 100.0], "scale": [0.25] * 3, "history_length": 1},
            "joint_pos_rel": {"params": {}, "clip": [-100.0, 100.0], "scale": [1.0] * 2, "history_length": 1},
            "last_action": {"params": {}, "clip": [-100.0, 100.0], "scale": [1.0] * 2, "history_length": 1},
        },
    }  # fmt: skip


def lerobot_info() -> dict[str, Any]:
    """The part of a LeRobot data set's meta/info.json that an import reads."""
    names = [f"{name}.pos" for name in ARM]
    feature = {"dtype": "float32", "shape": [6], "names": names}
    return {
        "codebase_version": "v3.0",
        "fps": 30,
        "robot_type": "so100_follower",
        "features": {"action": feature, "observation.state": feature},
    }


def lerobot_config() -> dict[str, Any]:
    """What LeRobot writes as config.json of an ACT policy."""
    return {
        "type": "act",
        "n_obs_steps": 1,
        "normalization_mapping": {"STATE": "MEAN_STD", "ACTION": "MEAN_STD"},
        "input_features": {"observation.state": {"type": "STATE", "shape": [6]}},
        "output_features": {"action": {"type": "ACTION", "shape": [6]}},
        "chunk_size": 10,
        "n_action_steps": 5,
    }


def called(*args: str) -> None:
    """Run a command of policy-port that has to pass."""
    said = io.StringIO()
    with contextlib.redirect_stdout(said):
        try:
            app(list(args), prog_name="policy-port")
        except SystemExit as end:
            if end.code:
                raise RuntimeError(f"policy-port {' '.join(args)}: exit {end.code}: {said.getvalue()}") from None


@dataclass(frozen=True)
class Good:
    """A folder of right inputs under the names that the commands of `hostile_drawn.FAMILIES` use."""

    path: Path

    @classmethod
    def make(cls, path: Path) -> Good:
        """Write every one of them; what a command writes (port, run, trace) is written by that command."""
        path.mkdir()
        for name, data in {
            "contract.yaml": contract(), "map.yaml": mapping(), "s.regress.yaml": suite(), "env.yaml": env_yaml(),
            "deploy.yaml": deploy_yaml(), "names.yaml": {"joint_names": list(JOINTS)},
            "agent.yaml": agent_yaml(), "io.yaml": io_descriptors(),
        }.items():  # fmt: skip
            (path / name).write_text(yaml.safe_dump(data, sort_keys=False))
        (path / "config.json").write_text(json.dumps(lerobot_config()))
        (path / "info.json").write_text(json.dumps(lerobot_info()))
        robot = files("policy_port").joinpath("assets/robots/so100.yaml").read_text()
        (path / "r.yaml").write_text(robot)
        (path / "robot.xml").write_text(MJCF)
        (path / "robot.urdf").write_text(URDF)
        torch.save(checkpoint(), path / "m.pt")
        actor = nn.Sequential(nn.Linear(OBSERVATIONS, 16), nn.ELU(), nn.Linear(16, 2)).eval()
        with torch.no_grad():
            torch.jit.script(actor).save(str(path / "ts.pt"))
        here = str(path)
        called("export", f"{here}/m.pt", "--contract", f"{here}/contract.yaml", "--activation", "elu",
               "--out", f"{here}/port")  # fmt: skip
        shutil.copy(path / "port" / "policy.onnx", path / "p.onnx")
        model = onnx.load_model(path / "p.onnx")
        del model.metadata_props[:]
        onnx.save_model(model, path / "p.onnx")
        called("play", f"{here}/port", "--plant", "mujoco", "--robot", f"{here}/robot.xml", "--command", "0.2,0,0",
               "--seconds", "0.5", "--out", f"{here}/run")  # fmt: skip
        shutil.copy(next((path / "run").rglob("trace.npz")), path / "trace.npz")
        return cls(path)

    def copy(self, folder: Path, *names: str) -> None:
        """Copy files and folders to where a command will run."""
        for name in names:
            source = self.path / name
            (shutil.copytree if source.is_dir() else shutil.copy)(source, folder / name)

    def arrays(self, name: str) -> dict[str, np.ndarray]:
        """The arrays of a .npz by name."""
        with np.load(self.path / name) as archive:
            return dict(archive)
