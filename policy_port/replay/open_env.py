"""Opening a ManiSkill environment, with what can go wrong said in words."""

from __future__ import annotations

import warnings
from typing import Any

from policy_port.contract import Contract
from policy_port.errors import MissingDependencyError, TaskError, closest


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

    if control_mode is not None:
        options["control_mode"] = control_mode
    try:
        with warnings.catch_warnings():
            # gymnasium warns about habits of ManiSkill that no user can change.
            warnings.simplefilter("ignore")
            return gym.make(env_id, render_backend=_render_backend() if draws else "none", **options)
    except NotImplementedError as cause:
        raise TaskError(f"{env_id}: {cause}") from None
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

        import policy_port.tasks.so100_reach_env  # noqa: F401  registers the project's own task
    except ModuleNotFoundError as cause:
        raise MissingDependencyError(
            f"--env needs the Python package {cause.name}, which is not installed: pip install 'policy-port[sim]'"
        ) from None
    if env_id not in REGISTERED_ENVS:
        hint = closest(env_id, REGISTERED_ENVS) or "."
        raise TaskError(f"ManiSkill has no environment '{env_id}'{hint} It has {len(REGISTERED_ENVS)} others")
    return REGISTERED_ENVS[env_id].cls


def check_fit(env_id: str, env: Any, contract: Contract, state: Any) -> None:
    """Hold the environment's joints, widths and rate against the contract; an environment goes by index, not name.

    Args:
        env_id: Name under which it is registered.
        env: The environment without its wrappers.
        contract: The policy's.
        state: The numbers of an observation, shape (num_envs, size).

    Raises:
        TaskError: When they do not fit.
    """
    names = tuple(joint.name for joint in env.agent.robot.active_joints)
    if names != contract.joint_names:
        raise TaskError(
            f"{env_id}: its robot's joints are {', '.join(names)}, contract '{contract.name}' has "
            f"{', '.join(contract.joint_names)}. Name the mapping that the port was made with by --through, or make a "
            f"contract of the environment with `policy-port contract import --env {env_id}`"
        )
    reads, writes = int(state.shape[-1]), int(env.single_action_space.shape[0])
    if reads != contract.observation_size:
        raise TaskError(
            f"{env_id}: observes {reads} numbers, contract '{contract.name}' describes "
            f"{contract.observation_size}: {contract.widths()}. Play another environment, or name the mapping with "
            "--through"
        )
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


def _render_backend() -> str:
    import sapien

    try:
        sapien.Device("cuda")
    except RuntimeError:
        return "cpu"
    return "gpu"
