"""Claims about deploy configurations that list numbers by motor: unitree_rl_gym's, OpenWBT's and Booster's."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from policy_port.contract import Contract, load_contract
from policy_port.contract.diff import differences
from policy_port.errors import ContractError
from tests.descriptors.importing import imported, unsourced, write

SIX = ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
ARM = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow", "wrist_roll", "wrist_pitch", "wrist_yaw")
LEGS = [f"{side}_{part}_joint" for side in ("left", "right") for part in SIX]
REST = [f"waist_{axis}_joint" for axis in ("yaw", "roll", "pitch")]
REST += [f"{side}_{part}_joint" for side in ("left", "right") for part in ARM]
REAL = Path(__file__).resolve().parents[1] / "real_policies"


def gym(**changes: Any) -> dict[str, Any]:
    data: dict[str, Any] = {
        "policy_path": "{LEGGED_GYM_ROOT_DIR}/motion.pt",
        "simulation_dt": 0.002,
        "control_decimation": 10,
        "kps": [100, 100, 100, 150, 40, 40] * 2,
        "kds": [2, 2, 2, 4, 2, 2] * 2,
        "default_angles": [-0.1, 0, 0, 0.3, -0.2, 0.0] * 2,
        "ang_vel_scale": 0.25,
        "dof_pos_scale": 1.0,
        "dof_vel_scale": 0.05,
        "action_scale": 0.25,
        "cmd_scale": [2.0, 2.0, 0.25],
        "num_actions": 12,
        "num_obs": 47,
        "cmd_init": [0.5, 0, 0],
    }
    return {key: value for key, value in (data | changes).items() if value is not ...}


def openwbt(**changes: Any) -> dict[str, Any]:
    lists = {
        "kps": [*[100, 100, 100, 150, 40, 40] * 2, *[300] * 3, *[100, 100, 50, 50, 20, 20, 20] * 2],
        "kds": [*[2, 2, 2, 4, 2, 2] * 2, *[3] * 3, *[2, 2, 2, 2, 1, 1, 1] * 2],
        "default_angles": [*[-0.1, 0, 0, 0.3, -0.2, 0.0] * 2, *[0.0] * 17],
    }
    gait = {"frequencies": 1.5, "phase_offset": 0.5, "stance_ratio": 0.6, "kappa_gait_probs": 0.05}
    more: dict[str, Any] = {
        "use_gait": True,
        "gait_parameters": gait,
        "control_dt": 0.02,
        "control_decimation": 4,
        "simulation_dt": ...,
        "num_dof": 12,
        "dof_idx": list(range(12)),
        "action_idx": list(range(12)),
        "max_cmd": [0.3, 0.3, 0.3],
        "cmd_clip": [0.1, 0.1, 0.1],
        "clip_observations": 100.0,
        "clip_actions": 100.0,
    }
    return gym(**(lists | more | changes))


def booster(**policy: Any) -> dict[str, Any]:
    return {
        "common": {
            "dt": 0.002,
            "stiffness": [20.0] * 11 + [200.0, 201.0, 202.0, 203.0, 50.0, 51.0] * 2,
            "damping": [0.5] * 11 + [5.0] * 12,
            "default_qpos": [0.2] * 11 + [-0.2, 0.0, 0.0, 0.4, -0.25, 0.0] * 2,
            "torque_limit": [7.0] * 11 + [60.0] * 12,
        },
        "policy": {
            "policy_path": "T1.pt",
            "num_actions": 12,
            "num_observations": 47,
            "gait_frequency": 1.5,
            "normalization": {"gravity": 1.0, "lin_vel": 1.0, "ang_vel": 1.0, "dof_pos": 1.0, "dof_vel": 0.1}
            | {"clip_actions": 1.0},
            "control": {"action_scale": 1.0, "decimation": 10},
        }
        | policy,
        "mech": {"parallel_mech_indexes": [15, 16, 21, 22]},
    }


def make(path: Path, data: Any, names: Any, layout: str | None, **more: Any) -> Contract:
    config, listed = write(path / "g1.yaml", data), write(path / "names.yaml", names)
    return imported(config, names=listed, layout=layout, robot="g1", **more).contract


def terms_of(made: Contract) -> list[str]:
    return [term.term for term in made.observation.terms]


def test_unitrees_mujoco_file_has_legs_alone(tmp_path: Path) -> None:
    """Names in motor or in the policy's order; sine and cosine come last; every number has its source."""
    for names in ({"motor_joint_names": LEGS + REST}, {"joint_names": LEGS}):
        made = make(tmp_path, gym(), names, "unitree_rl_gym")
        assert made.joint_names == tuple(LEGS)
        assert (made.joints["left_knee_joint"].stiffness, made.joints["right_knee_joint"].default) == (150.0, 0.3)
        assert (made.timestep, made.decimation, made.observation_size) == (0.002, 10, 47)
        assert unsourced(made) == []
    walking = load_contract(REAL / "unitree_rl_gym_g1_12dof.yaml")
    assert made.observation == walking.observation
    assert made.action == walking.action


def test_unitrees_robot_file_holds_arms_and_waist(tmp_path: Path) -> None:
    """Legs first, by their motors' numbers; arms and waist have their target for a default and no action."""
    others = {"arm_waist_joint2motor_idx": [4, 5], "arm_waist_kps": [300, 120], "arm_waist_kds": [3, 2]}
    legs = {"leg_joint2motor_idx": [3, 0, 1, 2], "kps": [1.0, 2.0, 3.0, 4.0], "kds": [1.0] * 4}
    data = gym(
        **legs, **others, default_angles=[0.1, 0.2, 0.3, 0.4], arm_waist_target=[0.5, 0.6], num_actions=4, num_obs=23,
        control_dt=0.02, simulation_dt=..., control_decimation=..., max_cmd=[0.8, 0.5, 1.57],
    )  # fmt: skip
    made = make(tmp_path, data, {"motor_joint_names": list("abcdef")}, "unitree_rl_gym", timestep=0.005)
    assert made.joint_names == ("d", "a", "b", "c", "e", "f")
    assert made.action_joint_names == ("d", "a", "b", "c")
    assert [made.joints[name].default for name in "daef"] == [0.1, 0.2, 0.5, 0.6]
    assert [made.joints[name].stiffness for name in "daef"] == [1.0, 2.0, 300.0, 120.0]
    assert made.command.bounds("ang_vel_z") == (-1.57, 1.57)
    with pytest.raises(ContractError, match="not in motor order; name all of them in motor order under motor_joint"):
        make(tmp_path, data, {"joint_names": list("abcdef")}, "unitree_rl_gym", timestep=0.005)


def test_openwbts_file_makes_the_contract_that_walks(tmp_path: Path) -> None:
    """Command first, a stretched clock with a foot each, dead zones: what the contract by hand says."""
    made = make(tmp_path, openwbt(), {"motor_joint_names": LEGS + REST}, "openwbt")
    walking = load_contract(REAL / "openwbt_loco.yaml")
    left = differences(made, walking)
    assert {line.partition(":")[0].split(".")[-1] for line in left} <= {
        *("robot", "armature", "effort_limit", "height", "min_height", "max_tilt")
    }, left


def test_openwbts_squat_is_told_height_and_pitch(tmp_path: Path) -> None:
    """It observes every joint, drives the legs, and has no clock."""
    data = openwbt(
        use_gait=False, gait_parameters=..., cmd_clip=..., cmd_scale=[1.0, 1.0], max_cmd=[0.4, 0.5], num_obs=78,
        num_dof=29, dof_idx=list(range(29)),
    )  # fmt: skip
    made = make(tmp_path, data, {"motor_joint_names": LEGS + REST}, "openwbt")
    assert terms_of(made)[:2] == ["command", "projected_gravity"]
    assert (made.command.bounds("base_height"), made.command.defaults[3:]) == ((0.35, 0.75), (0.75, 0.0))
    assert (made.observation_size, made.action_size) == (78, 12)


def test_boosters_policy_drives_the_last_motors(tmp_path: Path) -> None:
    """A cosine before a sine, dark while standing; the command follows at 1 per s; ranges from the training's file."""
    names = [f"motor{k}" for k in range(23)]
    training = {
        "commands": {"lin_vel_x": [-1, 1], "lin_vel_y": [-0.8, 0.8], "ang_vel_yaw": [-1.2, 1.2]},
        **{key: {} for key in ("normalization", "init_state", "rewards")},
    }
    config, trained = write(tmp_path / "T1.yaml", booster()), write(tmp_path / "envs/T1.yaml", training)
    listed = write(tmp_path / "names.yaml", {"motor_joint_names": names})
    made = imported(config, trained, names=listed, layout="booster_gym", robot="T1").contract
    assert made.joint_names == (*names[11:], *names[:11])
    assert made.action_joint_names == tuple(names[11:])
    assert (made.joints["motor11"].stiffness, made.joints["motor14"].default) == (200.0, 0.4)
    assert terms_of(made)[2:4] == ["velocity_command", "gait_clock"]
    assert made.term_elements(made.observation.terms[3]) == ("cos0", "sin0")
    turning = made.command.element("ang_vel_z")
    assert (turning.range, turning.slew, turning.dead_zone) == ((-1.2, 1.2), 1.0, None)
    assert made.action.raw_clip == (-1.0, 1.0)
    assert unsourced(made) == []


@pytest.mark.parametrize(
    ("data", "layout", "names", "words"),
    [
        (gym(), None, LEGS, "--layout unitree_rl_gym or --layout openwbt"),
        (gym(), "unitree_gym", LEGS, "did you mean 'unitree_rl_gym'"),
        (
            gym(num_obs=50),
            "unitree_rl_gym",
            LEGS,
            r"is 50, but the terms of unitree_rl_gym's runner add up to 47: base_ang_vel 3",
        ),
        (gym(), "unitree_rl_gym", LEGS[:5], "has 5 joint names, but .* lists 12"),
        (gym(dof_acc_scale=1.0), "unitree_rl_gym", LEGS, "'dof_acc_scale' is unknown; did you mean"),
        (openwbt(action_idx=list(range(1, 13))), "openwbt", LEGS, "does not begin with the first joint"),
        (booster(), None, [f"m{k}" for k in range(12)], "--layout booster_gym"),
        (booster(num_observations=48), "booster_gym", [f"m{k}" for k in range(12)], "add up to 47: projected_gravity"),
        (booster(gait_frequency=0.0), "booster_gym", [f"m{k}" for k in range(12)], "expected a frequency above 0"),
        (booster(history=3), "booster_gym", [f"m{k}" for k in range(12)], "does not know"),
    ],
)
def test_what_a_file_leaves_open_is_asked_for(tmp_path: Path, data: Any, layout: Any, names: Any, words: str) -> None:
    """A layout, another width, too few names, keys that nobody knows: each is an error that says what to do."""
    with pytest.raises(ContractError, match=words):
        make(tmp_path, data, {"joint_names": names}, layout)


def test_a_file_without_names_asks_for_them(tmp_path: Path) -> None:
    """Neither file names a joint."""
    for data, layout in ((gym(), "unitree_rl_gym"), (booster(), "booster_gym")):
        with pytest.raises(ContractError, match="has no names; give --names FILE"):
            imported(write(tmp_path / "c.yaml", data), layout=layout, robot="toy")


def test_the_layouts_that_messages_name_are_taken(tmp_path: Path) -> None:
    """Without a layout each file names those that its lists may have; with one of them it is read."""
    for data, layouts in ((gym(num_obs=45), ("unitree_rl_gym", "openwbt")), (booster(), ("booster_gym",))):
        with pytest.raises(ContractError, match=f"--layout {layouts[0]}"):
            make(tmp_path, data, {"joint_names": LEGS}, None)
        for layout in layouts:
            assert make(tmp_path, data, {"joint_names": LEGS}, layout).action_size == 12


def test_a_width_without_a_clock_leaves_it_out(tmp_path: Path) -> None:
    """Whoever runs unitree_rl_gym's file at 45 numbers has no clock."""
    assert terms_of(make(tmp_path, gym(num_obs=45), {"joint_names": LEGS}, "unitree_rl_gym"))[-1] == "last_action"
