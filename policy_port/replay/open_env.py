"""Opening a ManiSkill environment, with what can go wrong said in words."""

from __future__ import annotations

import contextlib
import copy
import warnings
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.contract import Contract
from policy_port.contract.layout import observation_blocks
from policy_port.errors import MissingDependencyError, TaskError, closest
from policy_port.tasks import env_state

PROPRIOCEPTION = {"joint_pos": "qpos", "joint_vel": "qvel", "joint_target": "target_qpos"}
"""Terms by what ManiSkill's agents call the same."""


def open_env(env_id: str, *, control_mode: str | None, draws: bool, **options: Any) -> Any:
    """The environment as `gymnasium.make` wraps it.

    Args:
        env_id: Name under which it is registered.
        control_mode: One of its controllers; its own default, if None.
        draws: It has to draw, on the GPU where there is one.
        **options: More options of ManiSkill's `BaseEnv`.

    Raises:
        TaskError: When there is no such environment, or it lacks a mode that is asked for.
        MissingDependencyError: When ManiSkill, or a driver or library that it needs, is not here.
    """
    registered(env_id)
    import gymnasium as gym

    from policy_port.plants.sapien_drawing import drawing_device

    if control_mode is not None:
        options["control_mode"] = control_mode
    try:
        with warnings.catch_warnings():
            # gymnasium warns about habits of ManiSkill that no user can change.
            warnings.simplefilter("ignore")
            backend = {"cuda": "gpu", "cpu": "cpu"}[drawing_device()] if draws else "none"
            # Environments turn what they are given into tensors in place; who gives it writes it into files.
            return gym.make(env_id, render_backend=backend, **copy.deepcopy(options))
    except NotImplementedError as cause:
        raise TaskError(f"{env_id}: {cause}") from None
    except AssertionError as cause:
        if control_mode is None or control_mode not in str(cause):
            raise
        raise TaskError(f"{env_id}: controller {cause}. Name one of these with --control-mode") from None
    except (RuntimeError, OSError) as cause:
        raise MissingDependencyError(
            f"{env_id}: ManiSkill can't start with {options.get('sim_backend')}: {cause}. `policy-port doctor` says "
            "what would mend it"
        ) from cause


def registered(env_id: str) -> Any:
    """The class of a registered environment.

    Raises:
        TaskError: When there is no such environment.
        MissingDependencyError: When ManiSkill is not here.
    """
    try:
        import mani_skill.envs  # noqa: F401  registers ManiSkill's tasks
        from mani_skill.utils.registration import REGISTERED_ENVS

        import policy_port.tasks.so100_ball_env  # noqa: F401  registers the project's own tasks
    except ModuleNotFoundError as cause:
        raise MissingDependencyError(
            f"--env needs the Python package {cause.name}, which is not installed: pip install 'policy-port[sim]'"
        ) from None
    if env_id not in REGISTERED_ENVS:
        hint = closest(env_id, REGISTERED_ENVS) or "."
        raise TaskError(f"ManiSkill has no environment '{env_id}'{hint} It has {len(REGISTERED_ENVS)} others")
    return REGISTERED_ENVS[env_id].cls


@contextlib.contextmanager
def in_state_mode(env: Any) -> Iterator[None]:
    """Let an environment tell its whole state, whatever it was opened to show: many refuse a mode of both.

    Args:
        env: The environment without its wrappers. In the block it observes as in mode "state", and draws nothing.
    """
    from mani_skill.envs.utils.observations import parse_obs_mode_to_struct

    mode, struct = env._obs_mode, env.obs_mode_struct
    env._obs_mode, env.obs_mode_struct = "state", parse_obs_mode_to_struct("state")
    try:
        yield
    finally:
        env._obs_mode, env.obs_mode_struct = mode, struct


def episode_steps(env_id: str) -> int | None:
    """Control steps of an episode of a registered environment; None where none ends by its time."""
    from mani_skill.utils.registration import REGISTERED_ENVS

    return REGISTERED_ENVS[env_id].max_episode_steps


def check_fit(
    env_id: str, env: Any, contract: Contract, parts: Sequence[tuple[str, int]], *, maps: bool = True
) -> NDArray[np.intp]:
    """Hold the environment's joints, widths and rate against the contract; an environment goes by index, not name.

    Args:
        env_id: Name under which it is registered.
        env: The environment without its wrappers.
        contract: The policy's.
        parts: Name and width of each part of what the environment observes in numbers, in order.
        maps: Whether the command has the option --through, for the messages.

    Returns:
        Which of the numbers the policy reads, in its order: all of them, or the parts that its terms name.

    Raises:
        TaskError: When they do not fit.
    """
    names = tuple(joint.name for joint in env.agent.robot.active_joints)
    if names != contract.joint_names:
        raise TaskError(
            f"{env_id}: its robot's joints are {', '.join(names)}, contract '{contract.name}' has "
            f"{', '.join(contract.joint_names)}. "
            + (
                "Name the mapping that the port was made with by --through, or make a "
                f"contract of the environment with `policy-port contract import --env {env_id}`"
                if maps
                else "Take a teacher of this environment's robot"
            )
        )
    reads, writes = columns(env_id, contract, parts, maps=maps), int(env.single_action_space.shape[0])
    if writes != contract.action_size:
        raise TaskError(
            f"{env_id}: takes {writes} actions under {env.control_mode}, contract '{contract.name}' gives "
            f"{contract.action_size}: {', '.join(contract.action_joint_names)}. Name another controller with "
            "--control-mode"
        )
    if remembers := contract.action.remembers:
        raise TaskError(
            f"{env_id}: performs each action by its own controller, and contract '{contract.name}' states "
            f"{', '.join(f'action.{key}' for key in remembers)}, which that does not do. Play the policy on a plant "
            f"(--plant), or make a contract of the environment with `policy-port contract import --env {env_id}`"
        )
    if abs(contract.control_dt * env.control_freq - 1.0) > 1e-6:
        raise TaskError(
            f"{env_id}: runs at {env.control_freq} Hz, contract '{contract.name}' at {1 / contract.control_dt:g} Hz"
        )
    return reads


def state_parts(env: Any, observation: Any) -> list[tuple[str, int]]:
    """Name and width of each part of an environment's numbers, in order.

    Args:
        env: The environment without its wrappers.
        observation: What it observes, as a dictionary or flat.
    """
    if not isinstance(observation, dict):
        observation = env.get_obs(env.get_info(), unflattened=True)
    found = dict(env_state.entries(observation))
    return [(name, len(values)) for name, values in zip(env_state.labels(list(found)), found.values(), strict=True)]


def columns(
    env_id: str, contract: Contract, parts: Sequence[tuple[str, int]], *, maps: bool = True
) -> NDArray[np.intp]:
    """Which of an environment's numbers a contract reads: all, or those whose names its terms have.

    Raises:
        TaskError: When they are not as many, and some term has the name of no part.
    """
    width = sum(size for _, size in parts)
    if width == contract.observation_size:
        return np.arange(width)
    starts = dict(zip((name for name, _ in parts), np.cumsum([0, *(size for _, size in parts)]), strict=False))
    sizes, found = dict(parts), []
    for label, size in observation_blocks(contract):
        name = label if label in sizes else PROPRIOCEPTION.get(label, label)
        if sizes.get(name) != size:
            raise TaskError(
                f"{env_id}: observes {width} numbers, contract '{contract.name}' describes "
                f"{contract.observation_size}: {contract.widths()}. Of '{label}', {size} wide, there is none among "
                f"{', '.join(f'{part} {wide}' for part, wide in parts)}. "
                + ("Play another environment, or name the mapping with --through" if maps else "Take another one")
            )
        found.append(np.arange(size) + starts[name])
    return np.concatenate(found)
