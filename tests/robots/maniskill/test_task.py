"""A ManiSkill task for an arm: the simulation's spaces, layout and targets, and nothing of its world."""

from __future__ import annotations

import contextlib
import signal
import warnings
from typing import Any

import numpy as np
import pytest

pytest.importorskip("mani_skill", reason="ManiSkill is not installed")
pytest.importorskip("lerobot.robots.so_follower", reason="lerobot is not installed")

import gymnasium as gym
import torch
from mani_skill.utils.registration import register_env

from policy_port.control.plant import PlantState
from policy_port.errors import CameraError, RobotError, TaskError
from policy_port.robots.arm.kinematics import LinkPositions
from policy_port.robots.arm.robot_file import CameraBounds, RobotFile, load_robot_file
from policy_port.robots.arm.stops import OperatorStopError
from policy_port.robots.jobs.pictures import Pictures
from policy_port.robots.maniskill.task import RealTask, leaves
from policy_port.robots.maniskill.terms import Origin
from policy_port.tasks.so100_reach_env import ENV_ID as REACH
from policy_port.tasks.so100_reach_env import SO100ReachEnv

GRASP, PICK = "SO100GraspCube-v1", "PickCubeSO100-v1"
WORLD = ("is_grasped", "obj_pose", "tcp_to_obj_pos")
LEANT = np.array([[0.3, -0.4, 0.5, 0.2, -0.6, 0.1]])


@pytest.fixture(scope="module")
def robot() -> RobotFile:
    return load_robot_file("so100")


@register_env("PolicyPortTestWind-v1", max_episode_steps=3, override=True)
class WindEnv(SO100ReachEnv):
    """The reach task with a part of its observation that nobody has declared."""

    def _get_obs_agent(self) -> dict[str, torch.Tensor]:
        return self.agent.get_proprioception()

    def _get_obs_extra(self, info: dict[str, Any]) -> dict[str, torch.Tensor]:
        return {"wind": self.agent.robot.get_qpos()[:, :2], "near": info["distance"]}


def simulated(env_id: str, **options: Any) -> Any:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return gym.make(env_id, num_envs=1, sim_backend="physx_cpu", render_backend="none", **options)


def measured(task: RealTask, joint_pos: np.ndarray) -> PlantState:
    state = PlantState.allocate(1, 6)
    state.joint_pos[...] = joint_pos
    task.restart(state)
    return state


@pytest.mark.parametrize("mode", ["state", "state_dict"])
@pytest.mark.parametrize("control_mode", ["pd_joint_target_delta_pos", "pd_joint_delta_pos", "pd_joint_pos"])
def test_spaces_and_layout_are_the_simulations(robot: RobotFile, mode: str, control_mode: str) -> None:
    """Same spaces, same keys, and for the same pose, target and goal the same numbers."""
    options: dict[str, Any] = {"obs_mode": mode, "control_mode": control_mode}
    sim, task = simulated(REACH, **options), RealTask(REACH, robot, **options)
    for name in ("observation_space", "single_observation_space", "action_space", "single_action_space"):
        assert getattr(task.base, name) == getattr(sim.unwrapped, name)
    assert task.max_episode_steps == 80
    told, _ = sim.reset(seed=7)
    measured(task, task.begin(7))
    ours, theirs = ({"": x} if mode == "state" else x for x in (task.observe(), told))
    assert list(leaves(ours)) == list(leaves(theirs))
    for path, value in leaves(theirs).items():
        np.testing.assert_array_equal(leaves(ours)[path], value)
        assert leaves(ours)[path].dtype == value.dtype
    sim.close()
    task.close()


@pytest.mark.parametrize("control_mode", ["pd_joint_target_delta_pos", "pd_joint_delta_pos", "pd_joint_pos"])
def test_targets_are_those_of_the_simulations_controller(robot: RobotFile, control_mode: str) -> None:
    """From the same measured pose the same drive targets as when the simulation takes the action."""
    sim, task = (
        simulated(GRASP, control_mode=control_mode),
        RealTask(GRASP, robot, control_mode=control_mode, without=WORLD),
    )
    sim.reset(seed=0)
    sim.unwrapped.agent.robot.set_qpos(torch.from_numpy(LEANT.astype(np.float32)))
    sim.unwrapped.agent.controller.reset()
    measured(task, LEANT)
    rng = np.random.default_rng(0)
    for _ in range(3):
        action = rng.uniform(-1.5, 1.5, 6).astype(np.float32)
        sim.step(action)
        # What the simulated arm makes of it in a step is measured as if it were the real one.
        wanted = [joint.drive_target.item() for joint in sim.unwrapped.agent.robot.active_joints]
        np.testing.assert_allclose(task.targets(action)[0], wanted, atol=1e-6)
        task.measured(sim.unwrapped.agent.robot.get_qpos().numpy().astype(np.float64), np.zeros((1, 6)))
    sim.close()
    task.close()


def test_what_was_cut_off_does_not_wind_up(robot: RobotFile) -> None:
    """A hundred steps against a limit, each cut off there: one step back is 0.05 rad back, not 4.95 rad of nothing."""
    task = RealTask(REACH, robot)
    measured(task, np.zeros((1, 6)))
    for _ in range(100):
        task.sent(np.minimum(task.targets(np.eye(6)[0]), 2.0))
    assert task.targets(-np.eye(6)[0])[0, 0] == pytest.approx(1.95)
    task.close()


def test_what_is_computed_agrees_with_the_robot_file(robot: RobotFile) -> None:
    """The tip that the task computes of measured joints is the robot file's own, turned as the task's base is."""
    assert robot.kinematics is not None
    task = RealTask(GRASP, robot, without=WORLD)
    task.begin(0)
    measured(task, LEANT)
    angles = dict(zip(robot.joint_names, LEANT[0].tolist(), strict=True))
    links = LinkPositions(robot.kinematics)
    x, y, z = (links.position("Fixed_Jaw_tip", angles) + links.position("Moving_Jaw_tip", angles)) / 2
    np.testing.assert_allclose(task.observe()[0, -3:], [-y, x, z], atol=1e-5)
    assert task.origins["extra/tcp_pos"] is Origin.COMPUTED
    task.close()


def test_velocities_are_the_estimates(robot: RobotFile) -> None:
    """Where a task observes velocities, they are what was estimated, not the simulation's zero."""
    seen = {"extra/is_grasped": lambda: np.bool_(True)}
    left_out = ("obj_pose", "tcp_to_obj_pos", "obj_to_goal_pos")
    task = RealTask(PICK, robot, obs_mode="state_dict", without=left_out, measure=seen)
    task.measured(LEANT, 2.0 * LEANT)
    told = task.observe()
    np.testing.assert_allclose(told["agent"]["qvel"], 2.0 * LEANT, atol=1e-6)
    assert (told["extra"]["is_grasped"], task.origins["extra/is_grasped"]) == (True, Origin.SUPPLIED)
    assert "obj_pose" not in told["extra"]
    task.close()


@pytest.mark.parametrize(
    ("env_id", "options", "words"),
    [
        (GRASP, {}, ["extra/is_grasped: not measurable", "extra/obj_pose", "extra/tcp_to_obj_pos"]),
        (PICK, {}, ["extra/obj_to_goal_pos: not measurable"]),
        ("PolicyPortTestWind-v1", {}, ["extra/wind: not known", "extra/near: not known"]),
        # Somebody declares what is not so.
        (GRASP, {"declared": {"extra/obj_pose": Origin.COMMANDED}, "without": ("is_grasped", "tcp_to_obj_pos")},
         ["extra/obj_pose: declared as commanded, but it changes when objects"]),
        (GRASP, {"declared": {"extra/tcp_to_obj_pos": Origin.COMPUTED}, "without": ("is_grasped", "obj_pose")},
         ["extra/tcp_to_obj_pos: declared as computed, but it changes when objects"]),
        ("PolicyPortTestWind-v1", {"declared": {"extra/wind": Origin.ESTIMATED, "extra/near": Origin.COMPUTED}},
         ["extra/wind: declared as estimated, but it does not hold", "extra/near: declared as computed, but"]),
        ("PolicyPortTestWind-v1", {"declared": {"extra/wind": Origin.COMMANDED}, "without": ("near",)},
         ["extra/wind: declared as commanded, but it changes with what was measured"]),
        (GRASP, {"without": ("is_graspd",)}, ["observes nothing named 'is_graspd'"]),
        (REACH, {"measure": {"extra/gaol": lambda: 0.0}}, ["observes no 'extra/gaol'; did you mean 'extra/goal'?"]),
        (REACH, {"reconfiguration_freq": 1}, ["give no reconfiguration_freq"]),
        (REACH, {"obs_mode": "none"}, ["observation mode none"]),
        ("SO100GraspCub-v1", {}, ["did you mean 'SO100GraspCube-v1'?"]),
    ],
)  # fmt: skip
def test_what_no_arm_can_measure_is_refused_by_name(
    robot: RobotFile, env_id: str, options: dict[str, Any], words: list[str]
) -> None:
    """Nothing simulated is passed off as real, whatever is declared."""
    with pytest.raises(TaskError) as error:
        RealTask(env_id, robot, **options)
    for part in words:
        assert part in str(error.value)


def test_a_declared_part_of_another_task_is_taken(robot: RobotFile) -> None:
    """Two measured joint positions are measured joint positions under whatever name."""
    task = RealTask(
        "PolicyPortTestWind-v1",
        robot,
        declared={"extra/wind": Origin.MEASURED},
        without=("near", "agent/qvel", "target_qpos"),
    )
    measured(task, LEANT)
    np.testing.assert_allclose(task.observe()[0], [*LEANT[0], *LEANT[0, :2]], atol=1e-6)
    task.close()


@pytest.mark.parametrize(("value", "words"), [([1.0, 2.0], "shape"), (np.nan, "not finite")])
def test_a_supplied_measurement_is_looked_at(robot: RobotFile, value: Any, words: str) -> None:
    """A supplied part has the task's shape and is finite."""
    measure = {"extra/goal": lambda: np.full(3, value) if np.isscalar(value) else value}
    task = RealTask(REACH, robot, measure=measure)
    with pytest.raises(TaskError, match=words):
        task.observe()
    task.close()


def test_bad_actions_and_options_are_refused(robot: RobotFile) -> None:
    """An action of another width, or one that is not finite, makes no target; nothing is built anew under the arm."""
    task = RealTask(REACH, robot)
    with pytest.raises(TaskError, match="leave 'reconfigure' out"):
        task.begin(0, {"reconfigure": True})
    for action, words in ((np.zeros(5), "shape"), (np.full(6, np.nan), "not finite"), (np.full(6, np.inf), "finite")):
        with pytest.raises(TaskError, match=words):
            task.targets(action)
    task.close()


def test_another_robot_or_rate_is_refused(robot: RobotFile) -> None:
    """A Panda's task, an arm of another kind, and a task that is faster than the arm."""
    with pytest.raises(RobotError, match="its robot is a panda, the robot file describes a so100"):
        RealTask("PickCube-v1", robot)
    with pytest.raises(RobotError, match="its robot is a so100, the robot file describes a so101"):
        RealTask(REACH, robot.model_copy(update={"name": "so101"}))
    slow = robot.timing.model_copy(update={"control_frequency": 10.0})
    with pytest.raises(RobotError, match="runs at 20 Hz"):
        RealTask(REACH, robot.model_copy(update={"timing": slow}))


def test_ctrl_c_while_the_task_is_built_is_not_lost(robot: RobotFile, monkeypatch: pytest.MonkeyPatch) -> None:
    """Libraries that swallow an interruption, as some do while they load, keep nobody from ending."""
    from policy_port.robots.maniskill import task

    build = task.open_env

    def swallowing(*arguments: Any, **options: Any) -> Any:
        with contextlib.suppress(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        return build(*arguments, **options)

    monkeypatch.setattr(task, "open_env", swallowing)
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(OperatorStopError, match="stopped by SIGINT"):
        RealTask(REACH, robot)
    assert signal.getsignal(signal.SIGINT) == handler


def test_pictures_are_scaled_not_squeezed(robot: RobotFile) -> None:
    """Each pixel is the mean of what it covers; other proportions, smaller ones and missing cameras are refused."""

    def seen_by(**changes: Any) -> RobotFile:
        camera = CameraBounds(source=0, width=640, height=480, fps=30, crop=(0, 80, 480, 480))
        return robot.model_copy(update={"cameras": {"base_camera": camera.model_copy(update=changes)}})

    wanted = {"base_camera": (128, 128)}
    frame = np.arange(480 * 480 * 3, dtype=np.uint64).reshape(480, 480, 3).astype(np.uint8)
    fitted = Pictures({"base_camera": (120, 120)}, seen_by()).fit("base_camera", frame)
    means = frame.reshape(120, 4, 120, 4, 3).mean(axis=(1, 3))
    assert fitted.shape == (120, 120, 3)
    assert np.abs(fitted - means).max() <= 0.5
    with pytest.raises(CameraError, match="its picture is 640x480, the network's is 128x128, of other proportions"):
        Pictures(wanted, seen_by(crop=None))
    with pytest.raises(CameraError, match="smaller than the network's"):
        Pictures(wanted, seen_by(crop=(0, 0, 100, 100)))
    with pytest.raises(RobotError, match="looks through a camera 'base_camera', which the robot file does not have"):
        Pictures(wanted, robot)
