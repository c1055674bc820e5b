"""The mistakes of the mutation score about what a policy is told, and about its gait clock."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from mutation_kinds import Data, NotApplicableError, terms_of
from mutation_mistake import Mutation, wrote

VELOCITY = ("lin_vel_x", "lin_vel_y", "ang_vel_z")


def in_commands() -> list[Mutation]:
    """What a user wrongly wrote about them."""
    order = (r"elements in another order", r"elements \d and \d exchanged")
    return [
        wrote("turn rate before the velocity", "2", told((2, 0, 1)), *order),
        wrote("command elements exchanged", "2", told((1, 0, 2)), *order),
        wrote("slew limit of the command too many", "3", shaped(slew=1.0), r"slew limit 1 too many"),
        wrote("dead zone of the command too many", "3", shaped(dead_zone=0.25), r"dead zone 0\.25 too many"),
        wrote("dead zone of the command left out", "3", dead_zone_left_out, r"dead zone .* missing"),
        wrote("cosine before sine", "1", cosine_first, r"sine and cosine exchanged", r"waves .* exchanged"),
        wrote("feet of the clock exchanged", "1", feet_exchanged, r"waves .* exchanged", r"half a turn off"),
        wrote("clock of another period", "1", on_clock(period=0.9), r"period"),
        wrote("clock that starts late", "3", late, r"source's clock is .* (ahead|behind)"),
        wrote("share of a stance left out", "3", stance_left_out, r"a foot stands 0\.6 of a cycle"),
        wrote(
            "clock frozen while it should run",
            "2",
            on_clock(standing="freeze", below=5.0, norm_of=list(VELOCITY)),
            r"clock does otherwise",
        ),
    ]


def told(order: tuple[int, int, int]) -> Callable[[Data], None]:
    """The three of the velocity in another order, each with its scale."""

    def mutate(data: Data) -> None:
        term = terms_of(data, "velocity_command")[0]
        scale = term.pop("scale", 1.0)
        term |= {"term": "command", "elements": [VELOCITY[place] for place in order]}
        if isinstance(scale, list):
            term["scale"] = dict(zip(VELOCITY, scale, strict=True))
        elif scale != 1.0:
            term["scale"] = scale

    return mutate


def shaped(**changes: float) -> Callable[[Data], None]:
    """A slew limit or a dead zone that the source does not have."""

    def mutate(data: Data) -> None:
        terms_of(data, "velocity_command")
        stated = data.setdefault("command", {}).get("lin_vel_y") or {}
        if isinstance(stated, dict) and stated.keys() & changes.keys():
            raise NotApplicableError
        data["command"]["lin_vel_y"] = (stated if isinstance(stated, dict) else {"range": stated}) | changes

    return mutate


def dead_zone_left_out(data: Data) -> None:
    """A dead zone of the source that nobody wrote down."""
    found = [entry for entry in data.get("command", {}).values() if isinstance(entry, dict) and "dead_zone" in entry]
    if not found:
        raise NotApplicableError
    for entry in found:
        del entry["dead_zone"]


def clock_of(data: Data) -> dict[str, Any]:
    """The gait clock; a gait_phase written wave by wave."""
    try:
        return terms_of(data, "gait_clock")[0]
    except NotApplicableError:
        term = terms_of(data, "gait_phase")[0]
    offsets = term.pop("offsets", [0.0])
    term |= {"term": "gait_clock", "elements": [{"wave": w, "offset": o} for w in ("sin", "cos") for o in offsets]}
    return term


def on_clock(**changes: Any) -> Callable[[Data], None]:
    """Keys of the clock replaced."""

    def mutate(data: Data) -> None:
        term = clock_of(data)
        if changes.items() <= term.items() or ("standing" in changes and "standing" in term):
            raise NotApplicableError
        term |= changes

    return mutate


def cosine_first(data: Data) -> None:
    """Sines and cosines exchanged."""
    waves = clock_of(data)["elements"]
    if {wave["wave"] for wave in waves} != {"sin", "cos"}:
        raise NotApplicableError
    for wave in waves:
        wave["wave"] = {"sin": "cos", "cos": "sin"}[wave["wave"]]


def feet_exchanged(data: Data) -> None:
    """The first wave of one foot in the place of the other's."""
    waves = clock_of(data)["elements"]
    if len(waves) < 2 or waves[0].get("offset", 0.0) == waves[1].get("offset", 0.0):
        raise NotApplicableError
    waves[0], waves[1] = waves[1], waves[0]


def late(data: Data) -> None:
    """A clock that starts two and a half steps behind."""
    term = clock_of(data)
    term["start"] = term.get("start", 0.0) - 2.5 * data["timestep"] * data["decimation"]


def stance_left_out(data: Data) -> None:
    """A stretched clock written as a plain one."""
    term = clock_of(data)
    if "stance" not in term:
        raise NotApplicableError
    del term["stance"]
