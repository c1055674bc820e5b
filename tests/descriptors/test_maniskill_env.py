"""Claims about ManiSkill environments that are asked for their contract."""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
import pytest

from policy_port.contract import Contract, load_contract
from policy_port.contract.diff import differences
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.registry import import_contract
from policy_port.errors import ContractError
from policy_port.resources import assets_dir
from tests.descriptors.importing import unsourced

pytest.importorskip("mani_skill")

REACH = ("PolicyPortSO100Reach-v1", "pd_joint_target_delta_pos")


@cache
def asked(env: str, mode: str) -> Contract:
    return import_contract([], None, ImportOptions(name="toy", env=env, control_mode=mode)).contract


def test_the_embedded_policys_contract_is_what_its_environment_says() -> None:
    """The contract that ships with the embedded policy and the one asked of its environment can't be told apart."""
    shipped = assets_dir() / "so100_reach/contract.yaml"
    if not shipped.is_file():
        pytest.skip("the embedded policy's contract is not there")
    assert differences(asked(*REACH), load_contract(shipped)) == []


def test_pick_cube_is_laid_out_as_its_state() -> None:
    """42 numbers in depth-first order: positions and velocities are known terms, the rest are the task's."""
    made = asked("PickCube-v1", "pd_joint_delta_pos")
    assert [(term.label, term.term, made.term_size(term)) for term in made.observation.terms] == [
        ("joint_pos", "joint_pos", 9),
        ("joint_vel", "joint_vel", 9),
        ("is_grasped", "external", 1),
        ("tcp_pose", "external", 7),
        ("goal_pos", "external", 3),
        ("obj_pose", "external", 7),
        ("tcp_to_obj_pos", "external", 3),
        ("obj_to_goal_pos", "external", 3),
    ]
    assert made.quaternion_order == "wxyz"
    assert unsourced(made) == []


@pytest.mark.vulkan
def test_a_policy_that_sees_reads_less_state_and_the_cameras() -> None:
    """In mode rgb the task's poses are gone, and the image is ManiSkill's rgb, with its camera by name."""
    options = ImportOptions(name="toy", env="PickCube-v1", control_mode="pd_joint_delta_pos", obs_mode="rgb")
    made = import_contract([], None, options).contract
    assert [(term.label, made.term_size(term)) for term in made.observation.terms] == [
        ("joint_pos", 9),
        ("joint_vel", 9),
        ("is_grasped", 1),
        ("tcp_pose", 7),
        ("goal_pos", 3),
    ]
    [image] = made.images
    assert (image.name, image.height, image.width, image.channels, image.layout) == ("rgb", 128, 128, 3, "nhwc")
    assert (image.cameras, image.dtype, image.scale) == (("base_camera",), "uint8", 1 / 255)
    assert unsourced(made) == []
    wrong = ImportOptions(name="toy", env="SO100GraspCube-v1", control_mode="pd_joint_delta_pos", obs_mode="rgb")
    with pytest.raises(ContractError, match="in observation mode rgb: can't be built.*rgb.segmentation"):
        import_contract([], None, wrong)


def test_so100_grasp_cube_has_terms_that_only_mode_state_shows() -> None:
    """31 numbers; the controller's target is recognised by its numbers."""
    made = asked("SO100GraspCube-v1", "pd_joint_target_delta_pos")
    labels = [(term.label, made.term_size(term)) for term in made.observation.terms]
    assert labels[:3] == [("joint_pos", 6), ("joint_target", 6), ("dist_to_rest_qpos", 5)]
    assert made.observation_size == 31


@pytest.mark.parametrize(
    ("env", "mode"),
    [
        REACH,
        ("PickCube-v1", "pd_joint_delta_pos"),
        ("PickCube-v1", "pd_joint_pos"),
        ("PickCube-v1", "pd_joint_target_delta_pos"),
    ],
)
def test_the_contracts_formula_is_what_the_controllers_compute(env: str, mode: str) -> None:
    """Random actions, beyond the bounds too, lead to the targets that the contract's terms give."""
    import gymnasium

    made = asked(env, mode)
    simulator = gymnasium.make(
        env, obs_mode="state", control_mode=mode, num_envs=1, sim_backend="physx_cpu", render_backend="cpu"
    )
    simulator.reset(seed=3)
    agent: Any = simulator.unwrapped.agent
    controllers = getattr(agent.controller, "controllers", {"all": agent.controller})
    names = [joint.name for joint in agent.robot.active_joints]
    rng = np.random.default_rng(5)

    def targets() -> dict[str, float]:
        return {
            joint.name: float(target)
            for controller in controllers.values()
            for joint, target in zip(controller.joints, controller._target_qpos[0].tolist(), strict=True)
        }

    for _ in range(5):
        action = rng.uniform(-2.0, 2.0, made.action_size).astype(np.float32)
        position = dict(zip(names, agent.robot.get_qpos()[0].tolist(), strict=True))
        expected = expected_targets(made, action.astype(float), position, targets())
        simulator.step(action)
        found = targets()
        assert {name: found[name] for name in expected} == pytest.approx(expected, abs=2e-6)
    simulator.close()


def expected_targets(
    made: Contract, action: np.ndarray, position: dict[str, float], target: dict[str, float]
) -> dict[str, float]:
    """The contract's formulas, written out by hand."""
    if made.action.raw_clip is not None:
        action = np.clip(action, *made.action.raw_clip)
    values = iter(action)
    expected = {}
    for term in made.action.terms:
        for name in made.action_joints(term):
            scale, offset, clip = (
                value[name] if isinstance(value, dict) else value for value in (term.scale, term.offset, term.clip)
            )
            moved = float(next(values)) * scale + offset
            if term.term == "joint_position_delta":
                moved += position[name] if term.reference == "joint_pos" else target[name]
            expected[name] = float(np.clip(moved, *clip)) if clip else moved
    return expected


def test_controllers_that_a_contract_can_not_state_name_those_it_can() -> None:
    """End-effector control is refused, with the robot's joint position modes."""
    with pytest.raises(ContractError, match="PDEEPoseController.*these are: pd_joint_delta_pos, pd_joint_pos"):
        asked("PickCube-v1", "pd_ee_delta_pose")


def test_a_slip_in_the_name_or_no_mode_is_answered_with_what_exists() -> None:
    """The nearest environment, and the modes of the robot."""
    with pytest.raises(ContractError, match="did you mean 'PickCube-v1'"):
        asked("PickCubes-v1", "pd_joint_pos")
    with pytest.raises(ContractError, match="needs --control-mode, .*pd_joint_delta_pos, pd_joint_pos"):
        import_contract([], None, ImportOptions(name="toy", env="PickCube-v1"))
    with pytest.raises(ContractError, match="can't be built: .*not in supported modes"):
        asked("PickCube-v1", "pd_joint")
