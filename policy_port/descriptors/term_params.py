"""What stands beside and in the `params` of an observation term of Isaac Lab's kind: read, or refused by name.

Isaac Lab, unitree_rl_lab and mjlab share these keys. Whatever would change the numbers and is passed over here makes an
observation of the right width with other contents.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from policy_port.descriptors.draft import Draft
from policy_port.descriptors.following import ANCHORED
from policy_port.descriptors.record import Record
from policy_port.descriptors.tagged_yaml import Foreign, Slice

JOINT_TERMS = ("joint_pos", "joint_pos_rel", "joint_vel", "joint_effort")
"""Kinds whose elements `asset_cfg` selects."""

BESIDE = frozenset(
    {"func", "params", "clip", "scale", "noise", "history_length", "flatten_history_dim", "modifiers"}
    | {f"delay_{key}" for key in ("min_lag", "max_lag", "per_env", "hold_prob", "update_period", "per_env_phase")}
)
"""Keys of a term. Noise is of training; what a delay is made of counts only where there is a lag."""

OBSERVED_LAGS = ("delay_min_lag", "delay_max_lag")

_PARAMS = {
    **{kind: {"command_name"} for kind in ("velocity_command", "motion_command", *ANCHORED)},
    "last_action": {"asset_cfg", "action_name"},
    "gait_phase": {"period"},
}
_SELECTORS = ("joint_names", "joint_ids", "preserve_order")
_MAX_PATTERN = 200
_SLICE = re.compile(r"slice\(\s*(None|-?\d+)\s*,\s*(None|-?\d+)\s*,\s*(None|-?\d+)\s*\)")


def own_words(name: str) -> str:
    """What to do about a term that can't be read."""
    return (
        f"if you know what it does, state the whole term yourself: --set observation.terms.{name}="
        "'{term: KIND, ...}', or {term: external, name: NAME, size: N} for what only its task computes"
    )


def check_term(
    term: Record, kind: str, name: str, *, commands: Sequence[str], actions: Sequence[str], robot: str = "robot"
) -> None:
    """Refuse what stands beside or in the `params` of a term and would change its numbers.

    Args:
        term: The term.
        kind: Its kind in a contract.
        name: Its name, for the message.
        commands: Names of commands of the term's kind, for `command_name`.
        actions: Names of all action terms, for `action_name`.
        robot: Name of the articulation, for `asset_cfg`.

    Raises:
        ContractError: Naming the key, its value, and how to state the term.
    """
    advice = own_words(name)
    term.only(BESIDE, advice)
    lags(term, OBSERVED_LAGS, advice)
    check_shape(term, advice)
    params = term.below("params")
    if params is None:
        return
    params.only(_PARAMS.get(kind, {"asset_cfg"}), advice)
    if params.has("command_name") and params.text("command_name") not in commands:
        known, what = ", ".join(commands) or "none", "motion" if kind.startswith("motion_") else "velocity"
        raise params.error(
            "command_name", f"is '{params.text('command_name')}', no {what} command (known: {known}); {advice}"
        )
    if params.has("action_name") and [params.text("action_name")] != list(actions):
        raise params.error("action_name", f"picks one of the action terms {', '.join(actions)}; {advice}")
    asset = params.below("asset_cfg")
    if asset is None:
        return
    if asset.has("name") and asset.text("name") != robot:
        raise asset.error("name", f"is '{asset.text('name')}', not '{robot}': something else is observed; {advice}")
    for key in asset.entries():
        selects = kind in JOINT_TERMS and key in _SELECTORS
        if key not in ("name", "preserve_order") and not selects and not _all(asset.data[key]):
            raise asset.error(
                key, f"is {asset.data[key]}, which a contract's {kind} can't pick: it is the base's own; {advice}"
            )


def lags(term: Record, keys: tuple[str, str], advice: str) -> tuple[int, int]:
    """The fewest and the most steps of a delay; 0 where nothing is stated.

    Args:
        term: Where they stand.
        keys: Their keys.
        advice: What else to do.

    Raises:
        ContractError: When they are no whole numbers in order.
    """
    low, high = (term.integer(key) if term.has(key) else 0 for key in keys)
    if not 0 <= low <= high:
        raise term.error(keys[0 if low < 0 else 1], f"makes a delay of {low} to {high} steps, which is none; {advice}")
    return low, high


def delayed(data: dict[str, Any], name: str, draft: Draft, *records: Record | None) -> dict[str, Any]:
    """A term of a contract with the delay that one of the records states for it.

    A delay that is drawn is like noise, of training; the middle of its range is what the policy is used to.

    Args:
        data: The term.
        name: Its name in the file, for what is said.
        draft: What is told of a delay that is drawn.
        records: Where a delay may stand; the first that has one counts.
    """
    if data["term"] == "external":
        return data
    for record in filter(None, records):
        low, high = lags(record, OBSERVED_LAGS, own_words(name))
        if high:
            if low != high:
                draft.note(
                    f"{record.path.name}: '{name}' is {low} to {high} control steps late in training, drawn at random; "
                    f"stated is the middle, {(low + high) // 2}. For another delay, such as that which your robot has "
                    f"itself, --set observation.terms.{name}.delay=STEPS"
                )
            return data | ({"delay": (low + high) // 2} if (low + high) // 2 else {})
    return data


def check_shape(term: Record, advice: str) -> None:
    """Refuse modifiers, and a history that is no flat vector."""
    if term.has("modifiers") and term.get("modifiers"):
        raise term.error(
            "modifiers", f"change the value before it is clipped and scaled; a contract has none; {advice}"
        )
    stacked = term.has("history_length") and term.integer("history_length") > 1
    if stacked and term.has("flatten_history_dim") and not term.flag("flatten_history_dim"):
        raise term.error("flatten_history_dim", "is false: the network reads a stack of rows, not a flat vector")


def history_length(term: Record) -> int:
    """Stacked steps of a term, the present one included."""
    return max(term.integer("history_length"), 1) if term.has("history_length") else 1


def stacked(data: dict[str, Any], term: Record) -> dict[str, Any]:
    """A term of a contract with the history that `term` states."""
    return data | ({"history": history_length(term)} if history_length(term) > 1 else {})


def selected_joints(params: Record | None, joints: Sequence[str]) -> list[str]:
    """The joints that `asset_cfg` of a term picks, in its order: all where it says nothing.

    Args:
        params: The term's `params`.
        joints: The articulation's joints, in its order, which is what indices count.

    Raises:
        ContractError: When indices or patterns lead to no joint, or contradict each other.
    """
    asset = params.below("asset_cfg") if params is not None else None
    if asset is None:
        return list(joints)
    by_index = _by_index(asset, joints)
    named = _by_name(asset, joints)
    if named is None:
        return by_index if by_index is not None else list(joints)
    missing = [pattern for pattern, hits in named if not hits]
    if missing and by_index is not None and len(missing) == len(named):
        # The file calls its joints otherwise than the user does: indices need no names.
        return by_index
    if missing:
        raise asset.error("joint_names", f"has '{missing[0]}', which is none of the joints: {', '.join(joints)}")
    ordered = list(dict.fromkeys(joint for _, hits in named for joint in hits))
    kept = asset.flag("preserve_order")
    chosen = ordered if kept else [joint for joint in joints if joint in ordered]
    if by_index is None or by_index == chosen:
        return chosen
    if kept or sorted(by_index) != sorted(chosen):
        raise asset.error(
            "joint_ids", f"leads to {', '.join(by_index)}, but joint_names beside it to {', '.join(chosen)}"
        )
    return by_index


def index_selection(record: Record, key: str, joints: Sequence[str]) -> list[str] | None:
    """The joints that the indices at `key` pick, in their order; None where they say "all"."""
    value = record.data.get(key)
    if value is None or _all(value):
        return None
    if (part := _slice_of(value)) is not None:
        bounds = (part.start, part.stop, part.step)
        if not all(bound is None or (isinstance(bound, int) and not isinstance(bound, bool)) for bound in bounds):
            raise record.error(key, f"is {part}, expected whole numbers")
        if part.step == 0:
            raise record.error(key, "is a slice in steps of 0")
        return list(joints)[slice(*bounds)]
    return [joints[index] for index in record.integers(key, below=len(joints))]


def refuse_other_names(record: Record, chosen: Sequence[str], joints: Sequence[str]) -> None:
    """Hold `joint_names` of an action against the joints that its indices chose, where any is a joint at all."""
    named = {joint for _, hits in _by_name(record, joints) or () for joint in hits}
    if named and named != set(chosen):
        both = [", ".join(joint for joint in joints if joint in each) for each in (named, chosen)]
        raise record.error("joint_names", f"leads to {both[0]}, but joint_ids beside it to {both[1]}")


def matches(pattern: str, name: str, record: Record) -> bool:
    """Whether a pattern of joint names, as Isaac Lab writes them, is that of `name`.

    Raises:
        ContractError: When it is no pattern, or one that could take for ever.
    """
    # A repeated group of repeats can take for ever on a name of thirty letters; joint patterns have no need of it.
    if len(pattern) > _MAX_PATTERN or re.search(r"[+*}]\)[+*{]|\\\d|\(\?[^:]", pattern):
        raise record.error(pattern[:60], "is no pattern of joint names that is safe to match; name the joints plainly")
    try:
        return re.fullmatch(pattern, name) is not None
    except re.error as cause:
        raise record.error(pattern[:60], f"is no pattern: {cause}") from None


def _by_index(asset: Record, joints: Sequence[str]) -> list[str] | None:
    if isinstance(asset.data.get("joint_ids"), Foreign) and asset.has("joint_names"):
        # A tensor that Isaac Lab 3 made of what the names select.
        return None
    return index_selection(asset, "joint_ids", joints)


def _by_name(asset: Record, joints: Sequence[str]) -> list[tuple[str, list[str]]] | None:
    """Each pattern with the joints that it leads to; None where there are no patterns."""
    if not asset.has("joint_names") or asset.get("joint_names") in ([], ()):
        return None
    single = isinstance(asset.get("joint_names"), str)
    patterns = [asset.text("joint_names")] if single else asset.names("joint_names")
    return [(pattern, [name for name in joints if matches(pattern, name, asset)]) for pattern in patterns]


def _slice_of(value: Any) -> Slice | None:
    if isinstance(value, Slice):
        return value
    found = _SLICE.fullmatch(value.strip()) if isinstance(value, str) else None
    return Slice(*(None if part == "None" else int(part) for part in found.groups())) if found else None


def _all(value: Any) -> bool:
    """Whether a selection says "everything", or nothing at all."""
    part = _slice_of(value)
    if part is not None:
        return part.everything
    return value in (None, "", ".*", {}) or (isinstance(value, list | tuple) and list(value) in ([], [".*"]))
