"""A ManiSkill environment, asked itself: what its observation holds, what its controllers compute, its rates."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from policy_port.descriptors import maniskill_actions, maniskill_observation
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.elements import decimal
from policy_port.descriptors.options import ImportOptions
from policy_port.errors import ContractError, MissingDependencyError, closest, one_line

if TYPE_CHECKING:
    from mani_skill.envs.sapien_env import BaseEnv

FLAGS = frozenset({"env", "control_mode", "obs_mode"})
SEED = 0


def read(options: ImportOptions) -> Draft:
    """Draft a contract; the environment is built, stepped a few times and closed."""
    if options.env is None:
        raise ContractError("--from maniskill_env needs --env ID, the environment's registered name")
    env = _make(options.env, options.control_mode, options.obs_mode or "state")
    try:
        return _draft(env.unwrapped, options)
    finally:
        env.close()


def _make(name: str, control_mode: str | None, obs_mode: str) -> Any:
    try:
        import gymnasium
        import mani_skill.envs  # noqa: F401  registers ManiSkill's environments
        from mani_skill.utils.registration import REGISTERED_ENVS
    except ImportError as cause:
        raise MissingDependencyError(
            f"--env {name} needs ManiSkill ({cause.name} is missing): pip install 'policy-port[sim]'"
        ) from None
    from policy_port.tasks import so100_ball_env  # noqa: F401  registers this program's, the other too

    if name not in REGISTERED_ENVS:
        raise ContractError(f"--env {name}: ManiSkill has no such environment{closest(name, REGISTERED_ENVS)}")
    if control_mode is None:
        robot: Any = gymnasium.make(name, obs_mode="none", num_envs=1, sim_backend="physx_cpu", render_backend="cpu")
        modes = list(robot.unwrapped.agent.supported_control_modes)
        robot.close()
        raise ContractError(
            f"--env {name} needs --control-mode, the one the policy was trained with: {', '.join(modes)}"
        )
    try:
        return gymnasium.make(
            name,
            obs_mode=obs_mode,
            control_mode=control_mode,
            num_envs=1,
            sim_backend="physx_cpu",
            render_backend="cpu",
        )
    except (AssertionError, KeyError, ValueError, NotImplementedError) as cause:
        raise ContractError(
            f"--env {name} --control-mode {control_mode} in observation mode {obs_mode}: can't be built: "
            f"{one_line(cause)}"
        ) from None


def _draft(env: BaseEnv, options: ImportOptions) -> Draft:
    origin = f"{options.env}, {options.control_mode}"
    draft = Draft(origin)
    env.reset(seed=SEED)
    agent = env.agent
    robot = agent.robot
    draft.put("robot", agent.uid, f"{options.env}: agent")
    draft.put("trained_in", "ManiSkill 3 (SAPIEN, PhysX)", f"{options.env} is ManiSkill's")
    draft.put("timestep", 1.0 / env.sim_freq, f"{options.env}: sim_freq {env.sim_freq}")
    draft.put("decimation", env.sim_freq // env.control_freq, f"{options.env}: control_freq {env.control_freq}")
    draft.put("base.floating", not agent.fix_root_link, f"{options.env}: fix_root_link")
    draft.put("actuation.kind", "implicit", "SAPIEN's drives are integrated by PhysX")
    # ManiSkill puts arrays of bodies in the place of what its links declare.
    weightless = all(bool(link.disable_gravity.all()) for link in robot.links)  # pyrefly: ignore[missing-attribute]
    draft.put("actuation.gravity_compensation", weightless, f"{options.env}: disable_gravity of the links")
    names = [joint.name for joint in robot.active_joints]
    draft.joints(names, f"{options.env}: active joints, SAPIEN's order")
    _limits(env, names, draft)
    _default(env, names, draft)
    maniskill_actions.add_action(env, draft)
    maniskill_observation.add_observation(env, str(options.env), draft)
    if options.obs_mode not in (None, "state"):
        maniskill_observation.add_images(env, str(options.env), draft)
    return draft


def _limits(env: BaseEnv, names: list[str], draft: Draft) -> None:
    source = f"{draft.origin}: joint limits of the robot file"
    joints = draft.data["joints"]
    # SAPIEN keeps float32; the shortest decimal that gives it back is what the robot file has.
    limits = np.asarray(env.agent.robot.get_qlimits()[0].cpu(), dtype=np.float32)
    for name, (low, high) in zip(names, limits, strict=True):
        if np.isfinite(low) and np.isfinite(high):
            joints[name] |= {"lower": float(str(low)), "upper": float(str(high))}
    draft.sources["joints.*.lower"] = draft.sources["joints.*.upper"] = source
    armature = {joint.name: _armature(joint) for joint in env.agent.robot.active_joints}
    draft.per_joint("armature", armature, f"{draft.origin}: armature of SAPIEN's joints")


def _armature(joint: Any) -> float:
    # One entry for each link that the joint's axes were split into; a robot's joints have one axis.
    return float(np.asarray(joint._objs[0].armature, dtype=np.float32).max())


def _default(env: BaseEnv, names: list[str], draft: Draft) -> None:
    """ManiSkill has no default pose; this program's task has a start pose, other robots a keyframe `rest`."""
    from policy_port.tasks.so100_reach_env import SO100ReachEnv

    if isinstance(env, SO100ReachEnv):
        start = dict(zip(env.task.joint_names, map(decimal, env.task.start_joint_pos), strict=True))
        draft.per_joint("default", start, "policy_port.tasks.reach: centre of the start poses")
        return
    rest = env.agent.keyframes.get("rest")
    if rest is None or rest.qpos is None:
        known = ", ".join(env.agent.keyframes) or "none"
        draft.lacks("joints.*.default", f"ManiSkill has no default pose, and no keyframe 'rest' (keyframes: {known})")
        return
    draft.per_joint("default", [float(value) for value in rest.qpos], "ManiSkill: keyframe 'rest' of the robot")
