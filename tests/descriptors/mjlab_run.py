"""The files of a small mjlab run: params/env.yaml with its tags, agent.yaml, and the ONNX file with its metadata."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import yaml

from tests.descriptors.importing import imported, linear_policy

JOINTS = ("hip", "knee", "finger", "mimic")
"""The last one is passive: no actuator drives it."""

OBSERVATIONS = "mjlab.envs.mdp.observations."


class Name(str):
    """A function, as yaml.dump writes it: a tag without a value."""


class _Dumper(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True


_Dumper.add_representer(Name, lambda dumper, data: dumper.represent_scalar(f"tag:yaml.org,2002:python/name:{data}", ""))
_Dumper.add_representer(
    tuple, lambda dumper, data: dumper.represent_sequence("tag:yaml.org,2002:python/tuple", list(data))
)


class Transmission(str):
    """A member of mjlab's enumeration of transmissions."""


_Dumper.add_representer(
    Transmission,
    lambda dumper, data: dumper.represent_sequence(
        "tag:yaml.org,2002:python/object/apply:mjlab.actuator.actuator.TransmissionType", [str(data)]
    ),
)


def term(function: str, **entries: Any) -> dict[str, Any]:
    """A term of an observation group as mjlab 1.6 writes it."""
    return {
        "func": Name(function if "." in function else OBSERVATIONS + function),
        "params": {},
        "noise": {"operation": "add", "_tensor_cache": {}, "n_min": -0.1, "n_max": 0.1},
        "clip": None,
        "scale": None,
        "delay_min_lag": 0,
        "delay_max_lag": 0,
        "delay_per_env": True,
        "delay_hold_prob": 0.0,
        "delay_update_period": 0,
        "delay_per_env_phase": True,
        "history_length": 0,
        "flatten_history_dim": True,
        **entries,
    }


def actuator(*joints: str, **entries: Any) -> dict[str, Any]:
    """An actuator as mjlab 1.6 writes it: a builtin position drive, unless entries say otherwise."""
    return {
        "target_names_expr": joints,
        "transmission_type": Transmission("joint"),
        "armature": 0.004,
        "frictionloss": None,
        "viscous_damping": None,
        "delay_min_lag": 0,
        "delay_max_lag": 0,
        "delay_hold_prob": 0.0,
        "delay_update_period": 0,
        "delay_per_env_phase": True,
        "stiffness": 40.17923,
        "damping": 2.557889,
        "effort_limit": 88.0,
        **entries,
    }


def environment() -> dict[str, Any]:
    """env.yaml of the run: a floating base with a hip, a knee, a finger, and a joint that mimics it."""
    sensed = {"sensor_name": "robot/imu_lin_vel"}
    return {
        "decimation": 4,
        "scene": {
            "num_envs": 2,
            "entities": {
                "robot": {
                    "init_state": {
                        "pos": (0.0, 0.0, 0.8),
                        "joint_pos": {"hip": 0.10049, "kn": -0.2, "finger": 0.01875, ".*": -0.01875},
                        "joint_vel": {".*": 0.0},
                    },
                    "spec_fn": Name("mjlab.asset_zoo.robots.toy_two.toy_constants.get_spec"),
                    "articulation": {
                        "actuators": (
                            actuator("hip", "knee"),
                            actuator("finger", stiffness=109.81411, damping=69.90984, effort_limit=None),
                        ),
                        "soft_joint_pos_limit_factor": 0.9,
                    },
                    "sort_actuators": False,
                }
            },
            "sensors": ({"name": "feet", "fields": ("found",)},),
        },
        "observations": {
            "actor": {
                "terms": {
                    "base_lin_vel": term("builtin_sensor", params=sensed),
                    "base_ang_vel": term("builtin_sensor", params={"sensor_name": "robot/imu_ang_vel"}),
                    "projected_gravity": term("projected_gravity"),
                    "joint_pos": term("joint_pos_rel", params={"biased": True}),
                    "joint_vel": term("joint_vel_rel"),
                    "actions": term("last_action", noise=None),
                    "command": term("generated_commands", params={"command_name": "twist"}),
                },
                "concatenate_terms": True,
                "concatenate_dim": -1,
                "enable_corruption": False,
                "history_length": None,
                "flatten_history_dim": True,
                "nan_policy": "disabled",
                "nan_check_per_term": True,
            },
            "critic": {"terms": {"height": term("height_scan", params={"sensor_name": "scan"})}},
        },
        "actions": {
            "joint_pos": {
                "entity_name": "robot",
                "clip": None,
                "transmission_type": Transmission("joint"),
                "actuator_names": (".*",),
                "scale": {"hip|knee": 0.3727530387, "finger": 0.0865739},
                "offset": 0.0,
                "preserve_order": False,
                "use_default_offset": True,
            }
        },
        "events": {
            "encoder_bias": {
                "func": Name("mjlab.envs.mdp.dr.joint.encoder_bias"),
                "params": {"bias_range": (-0.015, 0.015)},
            }
        },
        "sim": {"njmax": 300, "mujoco": {"timestep": 0.005, "integrator": "implicitfast"}},
        "commands": {
            "twist": {
                "entity_name": "robot",
                "ranges": {
                    "lin_vel_x": (-1.5, 2.0),
                    "lin_vel_y": (-1.0, 1.0),
                    "ang_vel_z": (-0.7, 0.7),
                    "heading": (-3.14, 3.14),
                },
            }
        },
        "metrics": {"acc": {"func": Name("mjlab.envs.mdp.metrics.mean_action_acc"), "params": {}}},
    }


AGENT: dict[str, Any] = {
    "obs_groups": {"actor": ("actor",), "critic": ("critic",)},
    "clip_actions": None,
    "algorithm": {"class_name": "PPO"},
}

OPEN = "-inf;inf"

METADATA = {
    "run_path": "local",
    "joint_names": ",".join(JOINTS),
    "joint_stiffness": "40.179,40.179,109.814",
    "joint_damping": "2.558,2.558,69.910",
    "default_joint_pos": "0.100,-0.200,0.019,-0.019",
    "command_names": "twist",
    "observation_names": "base_lin_vel,base_ang_vel,projected_gravity,joint_pos,joint_vel,actions,command",
    "observation_terms_scale": ",".join(["1.000"] * 7),
    "observation_terms_flatten_history_dim": ",".join(["1.000"] * 7),
    "observation_terms_history_length": ",".join(["0.000"] * 7),
    "observation_terms_clip": ",".join([OPEN] * 7),
    "action_scale": "0.373,0.373,0.087",
}
"""What mjlab's exporter writes of it."""

WIDTH = 9 + 4 + 4 + 3 + 3


def changed(data: dict[str, Any], edits: dict[str, Any]) -> dict[str, Any]:
    """A copy with dotted keys changed; `...` takes one away."""
    data = copy.deepcopy(data)
    for key, value in edits.items():
        *way, last = key.split(".")
        node: Any = data
        for part in way:
            node = node[int(part)] if isinstance(node, list | tuple) else node[part]
        if value is ...:
            del node[last]
        else:
            node[last] = value
    return data


def dump(path: Path, data: Any) -> Path:
    """Write YAML with mjlab's tags."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.dump(data, Dumper=_Dumper, sort_keys=False), encoding="utf-8")
    return path


def write_run(
    folder: Path,
    *,
    edits: dict[str, Any] | None = None,
    metadata: dict[str, str] | None = None,
    agent: dict[str, Any] | None = None,
    width: int = WIDTH,
    actions: int = 3,
) -> Path:
    """Write a run into `folder` and hand back its ONNX file."""
    dump(folder / "params/env.yaml", changed(environment(), edits or {}))
    dump(folder / "params/agent.yaml", AGENT | (agent or {}))
    return linear_policy(folder / f"{folder.name}.onnx", width, actions, METADATA | (metadata or {}))


ACTUATORS = "scene.entities.robot.articulation.actuators"


TERMS = "observations.actor.terms"


ACTION = "actions.joint_pos"


def made(path: Path, **given: Any) -> Any:
    """Import a run with the edits given; `options` are the user's."""
    options = given.pop("options", {})
    return imported(write_run(path / "walk", **given), **options)


def said(result: Any) -> list[dict[str, Any]]:
    return [term.model_dump(exclude_defaults=True, exclude_none=True) for term in result.contract.observation.terms]
