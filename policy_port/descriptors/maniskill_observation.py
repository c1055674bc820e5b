"""The state observation of a ManiSkill environment, term by term, each held against what the robot really does."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from policy_port.arrays import Array
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.maniskill_actions import position_controllers
from policy_port.errors import ContractError
from policy_port.tasks import env_state

if TYPE_CHECKING:
    from mani_skill.envs.sapien_env import BaseEnv

STEPS = 4
"""Steps of random action after which a term's numbers must still be what it is taken for."""


def add_observation(env: BaseEnv, name: str, draft: Draft) -> None:
    """Add one term per entry of the state dictionary, depth first, which is how ManiSkill flattens it.

    The environment must be of mode "state", or of a mode with images: some leave terms out in mode "state_dict".
    """
    taken: dict[str, set[str]] = {}
    sizes: dict[str, int] = {}
    rng = np.random.default_rng(0)
    for _ in range(STEPS):
        flat = _step(env, rng)
        dictionary = env.get_obs(env.get_info(), unflattened=True)
        assert isinstance(dictionary, dict)
        entries = dict(env_state.entries(dictionary))
        joined = np.concatenate(list(entries.values()))
        if joined.shape != flat.shape or not np.allclose(joined, flat, atol=1e-6):
            raise ContractError(f"--env {name}: its flat observation is not its dictionary laid out depth first")
        quantities = _quantities(env)
        for path, values in entries.items():
            sizes[path] = len(values)
            same = {kind for kind, other in quantities.items() if _equal(values, other)}
            taken[path] = same & taken.get(path, same)
    _add_terms(name, sizes, taken, draft)


def add_images(env: BaseEnv, name: str, draft: Draft) -> None:
    """Add the colour images of all cameras, as ManiSkill's scripts for policies that see lay them out.

    Raises:
        ContractError: When the environment has no camera, or cameras of several sizes.
    """
    configs: dict[str, Any] = env._sensor_configs
    cameras = {uid: (config.height, config.width) for uid, config in configs.items()}
    if len(set(cameras.values())) != 1:
        sizes = ", ".join(f"{uid} {height}x{width}" for uid, (height, width) in cameras.items()) or "none"
        raise ContractError(
            f"--env {name}: its cameras ({sizes}) can't be laid one behind the other; one size is needed"
        )
    height, width = next(iter(cameras.values()))
    image: dict[str, Any] = {"name": "rgb", "height": height, "width": width, "channels": 3 * len(cameras)}
    image |= {"layout": "nhwc", "dtype": "uint8", "scale": 1.0 / 255.0}
    draft.data["images"] = [image | {"cameras": list(cameras)}]
    draft.sources["images"] = (
        f"{name}: its cameras in its order, as FlattenRGBDObservationWrapper lays them; the scripts divide by 255"
    )


def _add_terms(env: str, sizes: dict[str, int], taken: dict[str, set[str]], draft: Draft) -> None:
    poses = False
    for (path, size), label in zip(sizes.items(), env_state.labels(list(sizes)), strict=True):
        source = f"{env}: {path}"
        goal = _goal(env, path.rpartition(".")[2])
        if len(taken[path]) == 1:
            kind = taken[path].pop()
            draft.term({"term": kind}, f"{source}; equal to it over {STEPS} steps of random action", name=label)
        elif goal is not None:
            draft.term(goal, f"{source}; ranges from the task's description")
        else:
            poses = True
            draft.term({"term": "external", "name": label, "size": size}, source)
    if poses:
        draft.put("quaternion_order", "wxyz", "SAPIEN's quaternions are wxyz")


def _step(env: BaseEnv, rng: np.random.Generator) -> Array:
    from mani_skill.utils import common

    space: Any = env.single_action_space
    action = rng.uniform(space.low, space.high) * 0.5
    observation = env.step(action.astype(np.float32))[0]
    if isinstance(observation, dict):
        numbers = {key: value for key, value in observation.items() if key not in env_state.SENSED}
        observation = common.flatten_state_dict(numbers, use_torch=True, device=env.device)
    return np.asarray(observation[0].cpu(), dtype=np.float64)


def _quantities(env: BaseEnv) -> dict[str, Array]:
    robot = env.agent.robot
    found = {
        "joint_pos": np.asarray(robot.get_qpos()[0].cpu(), dtype=np.float64),
        "joint_vel": np.asarray(robot.get_qvel()[0].cpu(), dtype=np.float64),
    }
    target = np.full_like(found["joint_pos"], np.nan)
    for controller in position_controllers(env).values():
        target[np.asarray(controller.active_joint_indices.cpu())] = np.asarray(controller._target_qpos[0].cpu())
    return found | {"joint_target": target}


def _equal(a: Array, b: Array) -> bool:
    return a.shape == b.shape and bool(np.allclose(a, b, rtol=0.0, atol=1e-6))


def _goal(env: str, leaf: str) -> dict[str, Any] | None:
    """The goal of this program's own task, whose frame and ranges are written down."""
    from policy_port.tasks import so100_ball_env, so100_reach_env
    from policy_port.tasks.reach import SO100_BALL, SO100_REACH

    tasks = {so100_reach_env.ENV_ID: SO100_REACH, so100_ball_env.ENV_ID: SO100_BALL}
    if env not in tasks or leaf != "goal":
        return None
    task = tasks[env]
    near, far = task.goal_radius
    least, most = task.goal_azimuth
    x, y = task.pan_axis_xy
    side = far * float(np.sin(max(abs(least), abs(most))))
    nearest = near * float(np.cos(max(abs(least), abs(most))))
    low = [round(value, 4) for value in (x - side, y - far, task.goal_height[0])]
    high = [round(value, 4) for value in (x + side, y - nearest, task.goal_height[1])]
    return {"term": "goal", "size": 3, "frame": "Base link, m", "low": low, "high": high}
