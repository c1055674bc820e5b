"""Mistakes with the clip, the delay and the filter of an action, and with the delays of terms."""

from __future__ import annotations

import numpy as np
from mutation_kinds import Data, NotApplicableError, terms_of
from mutation_mistake import Mutation
from mutation_recordings import Arrays


def filter_of_targets(data: Data) -> None:
    data["action"]["filter"] = {"kind": "first_order", "alpha": 0.6, "of": "target"}


def filter_of_raw(data: Data) -> None:
    data["action"]["filter"] = {"kind": "first_order", "alpha": 0.6, "of": "raw"}


def mean_of_targets(data: Data) -> None:
    data["action"]["filter"] = {"kind": "moving_average", "steps": 3, "of": "target"}


def delay_too_many(data: Data) -> None:
    data["action"]["delay"] = 1


def bounds_of_one(data: Data) -> dict[str, str]:
    """Bounds on one joint that no other has, tight enough to be reached."""
    names = [name for term in data["action"]["terms"] for name in term.get("joints") or data["joints"]]
    if isinstance(data["action"].get("raw_clip"), dict):
        raise NotApplicableError
    low, high = data["action"].get("raw_clip", (-1e9, 1e9))
    data["action"]["raw_clip"] = {name: [low, high] for name in names} | {names[1]: [-0.05, 0.05]}
    return {"a": names[1]}


def late_term(data: Data) -> None:
    terms_of(data, "joint_vel")[0]["delay"] = 1


def older_action(data: Data) -> None:
    terms_of(data, "last_action")[0]["ago"] = 2


def action_delayed(arrays: Arrays, data: Data) -> None:
    """Targets of the action before, from a raw action of zero at each reset on."""
    if data["action"]["terms"][0]["term"] != "joint_position":
        raise NotApplicableError
    target = arrays["target"].copy()
    target[1:] = arrays["target"][:-1]
    starts = np.append(True, np.diff(arrays["episode"].reshape(len(target), -1)[:, 0]) != 0)
    target[starts] = arrays["target"][starts]
    arrays["target"] = target


def targets_averaged(arrays: Arrays, data: Data) -> None:
    """Targets that are the mean of the last three, of an episode's first one at its begin."""
    target, episode = arrays["target"], arrays["episode"].reshape(len(arrays["target"]), -1)[:, 0]
    starts = np.append(True, np.diff(episode) != 0)
    first = np.maximum.accumulate(np.where(starts, np.arange(len(target)), 0))
    arrays["target"] = np.mean([target[np.maximum(np.arange(len(target)) - back, first)] for back in range(3)], axis=0)


def of_filters() -> list[Mutation]:
    """Every one of them."""
    make = Mutation
    return [
        make(key="filter of targets too many", group="+", names=(r"filter of target",), contract=filter_of_targets),
        make(key="filter of raw actions too many", group="+", names=(r"filter of raw",), contract=filter_of_raw),
        make(key="mean of targets too many", group="+", names=(r"filter of target",), contract=mean_of_targets),
        make(key="action delay too many", group="3", names=(r"delay of one step too many",), contract=delay_too_many),
        make(key="raw clip of one joint too many", group="+", names=(r"raw_clip",), contract=bounds_of_one),
        make(key="joint velocity stated late", group="3", names=(r"one step early",), contract=late_term),
        make(key="last action of two steps ago", group="+", names=(r"one step early",), contract=older_action),
        make(key="action delayed in training", group="3", names=(r"one step late",), trace=action_delayed),
        make(key="targets averaged in training", group="+", names=(r"moving_average",), trace=targets_averaged),
    ]
