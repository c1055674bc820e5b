"""What env.yaml and agent.yaml of an Isaac Lab run add to its IO descriptors."""

from __future__ import annotations

import math
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.following import ANCHORED
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

MODULES = ("isaaclab.envs.mdp.observations", "omni.isaac.lab.envs.mdp.observations")
"""Isaac Lab's own functions, by the name of today and of 1.x; those of other projects may compute something else."""

TRACKING = (
    "whole_body_tracking.tasks.tracking.mdp.observations",
    "unitree_rl_lab.tasks.mimic.mdp.observations",
    "robot_lab.tasks.manager_based.beyondmimic.mdp.observations",
)
"""Where whole_body_tracking's functions stand, and where others have copies of them."""


def written_terms(env: Record, group: str) -> list[tuple[str, str]] | None:
    """(key, function name) of each term of an observation group, in order; None when env.yaml lacks the group."""
    observations = env.section("observations")
    if not observations.has(group):
        return None
    section = observations.section(group)
    if section.has("concatenate_terms") and not section.flag("concatenate_terms"):
        raise section.error("concatenate_terms", "is false: the network reads its terms one by one, not a vector")
    terms = [(key, section.section(key)) for key, value in section.data.items() if isinstance(value, dict) and value]
    return [(key, term.text("func").replace(":", ".").rpartition(".")[2]) for key, term in terms if term.has("func")]


def history(env: Record, group: str, key: str) -> int:
    """Stacked steps of a term; the group's number wins, as in Isaac Lab."""
    section = env.section("observations").section(group)
    for record in (section, section.section(key)):
        if record.has("history_length"):
            return max(record.integer("history_length"), 1)
    return 1


def history_layout(env: Record | None, group: str, draft: Draft) -> str:
    """How a group lays out its history: term by term, unless env.yaml says otherwise.

    Isaac Lab heeds `history_order: time` only where the group itself states the length and is one flat vector.
    """
    section = env.below("observations", group) if env is not None else None
    if section is None or not section.has("history_order"):
        return "term_major"
    if section.choice("history_order", ("term", "time")) == "term":
        return "term_major"
    length = section.integer("history_length") if section.has("history_length") else 0
    unmet = [
        f"{key} is false" for key in ("flatten_history_dim", "concatenate_terms") if section.data.get(key) is False
    ]
    if length < 1:
        unmet.append("history_length of the group is not set")
    if section.has("concatenate_dim") and section.integer("concatenate_dim") != -1:
        unmet.append(f"concatenate_dim is {section.integer('concatenate_dim')}")
    if not unmet:
        return "time_major"
    draft.note(
        f"{section.path.name}: {section.key('history_order')} is time, which Isaac Lab passes over, since "
        f"{' and '.join(unmet)}; the history is term by term"
    )
    return "term_major"


def refuse_other_rates(env: Record, scene: Record) -> None:
    """Hold the rates of env.yaml against the descriptor's.

    Raises:
        ContractError: When they differ: the files are of two runs.
    """
    for record, key, name in ((env.below("sim"), "dt", "physics_dt"), (env, "decimation", "decimation")):
        if record is None or not record.has(key) or not scene.has(name):
            continue
        if not math.isclose(record.number(key), scene.number(name), rel_tol=1e-6):
            raise record.error(
                key,
                f"is {record.number(key):g}, but {scene.path.name} has {scene.key(name)} {scene.number(name):g}; the "
                "two files are of different runs",
            )


def sensor_width(env: Record, group: str, key: str) -> tuple[int, str] | None:
    """Rays of the sensor that a height scan reads, and where that stands; None for any other term."""
    term = env.section("observations").section(group).section(key)
    reads = term.below("params", "sensor_cfg")
    module, _, function = term.text("func").replace(":", ".").rpartition(".")
    if module not in MODULES or function != "height_scan" or reads is None or not reads.has("name"):
        return None
    pattern = env.below("scene", reads.text("name"), "pattern_cfg")
    if pattern is None or not pattern.has("func") or not pattern.text("func").endswith("grid_pattern"):
        return None
    step = pattern.number("resolution")
    if step <= 0.0:
        raise pattern.error("resolution", f"is {step:g}, expected a positive distance")
    # As torch.arange counts in Isaac Lab's grid_pattern.
    rays = math.prod(math.ceil((size / 2 + 1e-9 + size / 2) / step) for size in pattern.numbers("size", 2, per="side"))
    return rays, pattern.source("size", f"in steps of {step:g}")


def is_velocity_command(env: Record, group: str, key: str) -> bool:
    """Whether the command that the observation term `key` of `group` reads is a base velocity."""
    params = env.below("observations", group, key, "params")
    if params is None or not params.has("command_name"):
        return False
    command = env.below("commands", params.text("command_name"))
    return command is not None and _commands_velocity(command)


def motion_of(env: Record, group: str, key: str) -> Record | None:
    """The configuration of the reference motion that an observation term reads; None for any other term."""
    params = env.below("observations", group, key, "params")
    command = None
    if params is not None and params.has("command_name"):
        command = env.below("commands", params.text("command_name"))
    return command if command is not None and command.has("motion_file") else None


def motion_kind(env: Record, group: str, key: str) -> str | None:
    """Kind of a term of a reference motion; None for any other term."""
    term = env.section("observations").section(group).section(key)
    module, _, function = term.text("func").replace(":", ".").rpartition(".")
    if motion_of(env, group, key) is None:
        return None
    if module in MODULES and function == "generated_commands":
        return "motion_command"
    return function if module in TRACKING and function in ANCHORED else None


def add_commands(env: Record, draft: Draft) -> None:
    """Add the trained ranges of the velocity command."""
    if not env.has("commands"):
        return
    commands = env.section("commands")
    for name in commands.entries():
        command = commands.section(name) if commands.has(name) else None
        if command is not None and command.has("ranges") and _commands_velocity(command):
            draft.command(command.section("ranges"))


def _commands_velocity(command: Record) -> bool:
    return command.has("class_type") and "VelocityCommand" in command.text("class_type")


def actor_groups(agent: Record | None) -> list[str]:
    """Observation groups that agent.yaml feeds to the actor, in order; empty when it does not say."""
    groups = agent.below("obs_groups") if agent is not None else None
    if groups is None:
        return []
    return next((groups.names(name) for name in ("actor", "policy") if groups.has(name)), [])


def add_agent_clips(agent: Record, draft: Draft) -> None:
    """Add the clip of actions and observations that the trainer's wrapper applies."""
    wrapper: Any = agent.data
    where = ""
    if isinstance(agent.data.get("params"), dict) and isinstance(agent.data["params"].get("env"), dict):
        wrapper, where = agent.data["params"]["env"], "params.env"
    record = Record(agent.path, wrapper, where)
    for key, target in (("clip_actions", "action.raw_clip"), ("clip_observations", "observation.clip")):
        value = wrapper.get(key)
        if value is None or value is False or value == {}:
            continue
        bound = record.number(key)
        if bound <= 0.0:
            raise ContractError(f"{agent.path}: {record.key(key)} is {bound:g}, expected a positive bound")
        draft.put(target, [-bound, bound], record.source(key))
