"""What was measured in a turn, held against what it claims to be: the same episodes, arm and dynamics."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from policy_port.compare.compare import compare_runs
from policy_port.compare.run import Run, read_run
from policy_port.dynamics.document import Dynamics, load_dynamics
from policy_port.engine.turns import CONTROL, folder_of
from policy_port.errors import EvidenceError
from policy_port.files import sha256
from policy_port.replay.result import METRICS, TRACE, Episode
from policy_port.trace import Trace
from policy_port.train.run import open_run

DYNAMICS = "dynamics.yaml"
UNPLAYED = "not played"
"""Stands where an episode's stop does, of those that were not begun."""
SAME_GOAL = 1e-6
"""How far goals of the same episode may be apart by rounding [m]."""


@dataclass(frozen=True, kw_only=True)
class Played:
    """A policy's episodes in one place."""

    run: Run
    episodes: tuple[Episode, ...]
    gave_up: str | None = None
    """Why no more were played; None where all were."""

    @property
    def won(self) -> int:
        """Episodes whose task was fulfilled."""
        return sum(one.success for one in self.episodes)

    @property
    def rate(self) -> float:
        """The share of them."""
        return self.won / len(self.episodes)

    @property
    def stopped(self) -> int:
        """Episodes that the arm's supervisor ended."""
        return sum(one.stopped is not None and one.stopped != UNPLAYED for one in self.episodes)

    @property
    def unplayed(self) -> int:
        """Episodes that were not begun, after stops in a row; they count as failed."""
        return sum(one.stopped == UNPLAYED for one in self.episodes)

    @property
    def distance(self) -> float:
        """How far from the goal those ended that came to their end, in the mean [m]; NaN where none did."""
        found = [min(one.final_distance, 1.0) for one in self.episodes if not one.stopped and one.final_distance]
        return float(np.mean(found)) if found else math.nan


@dataclass(frozen=True, kw_only=True)
class Pairing:
    """A policy in simulation and on the arm, in the same episodes."""

    simulated: Played
    real: Played
    gap: float | None
    """Root mean square distance of the joints' trajectories at equal times [rad]."""

    @property
    def agree(self) -> int:
        """Episodes whose outcomes are the same."""
        pairs = zip(self.simulated.episodes, self.real.episodes, strict=True)
        return sum(a.success == b.success for a, b in pairs)


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What a turn came to; turn 0 is the policy as it comes, in the simulator as it comes."""

    number: int
    own: Pairing
    """Its policy."""
    dynamics: Dynamics | None
    """What it identified."""
    scores: tuple[tuple[str, Pairing], ...]
    """Every policy so far, simulated under this turn's dynamics, by the name of its turn."""
    control: Pairing | None
    """The policy that was fine-tuned without them."""


def read_turn(out: Path, number: int, *, control: bool) -> Turn:
    """Read what the stages of a turn left, and refuse what can't be held against each other.

    Raises:
        EvidenceError: Naming both sides.
    """
    if number == 0:
        own = pair(folder_of(out, 0, "simulate"), folder_of(out, 0, "play"), None)
        return Turn(number=0, own=own, dynamics=None, scores=(), control=None)
    file = folder_of(out, number, "identify") / DYNAMICS
    dynamics = load_dynamics(file)
    check_learnt(folder_of(out, number, "finetune"), file)
    scores = []
    for one in range(number + 1):
        found = pair(folder_of(out, number, f"simulate-{one}"), folder_of(out, one, "play"), dynamics)
        scores.append((f"turn {one}", found))
    own, other = scores[-1][1], None
    if control:
        check_learnt(folder_of(out, number, f"{CONTROL}finetune"), None)
        play = folder_of(out, number, f"{CONTROL}play")
        other = pair(folder_of(out, number, "simulate-control"), play, dynamics)
        scores.append(("control", other))
    return Turn(number=number, own=own, dynamics=dynamics, scores=tuple(scores), control=other)


def pair(simulated: Path, real: Path, dynamics: Dynamics | None) -> Pairing:
    """Hold a simulated run against a real one.

    Args:
        simulated: Folder of `play --plant`.
        real: Folder of `play --real`.
        dynamics: What the simulator has to have behaved like; None for the simulator as it comes.

    Raises:
        EvidenceError: When they are not one policy, or not the same starts and goals, or the simulator is another one.
    """
    one, other = read_played(simulated, "simulated"), read_played(real, "real")
    wanted = None if dynamics is None else dynamics.sha256
    found = one.run.header.get("dynamics_sha256")
    if found != wanted:
        raise EvidenceError(
            f"{simulated}: was simulated {_under(found)}, and this turn's is {_under(wanted)}; it tells of "
            "another simulator. Delete the folder, and the stage is made anew"
        )
    for key in ("policy_sha256", "contract_sha256"):
        if one.run.header.get(key) != other.run.header.get(key):
            raise EvidenceError(f"{simulated} and {real} are of two policies: {key} differs. Delete the older folder")
    if other.gave_up is not None:
        # A policy that is stopped again and again is not asked further: what is left counts as failed.
        left = one.episodes[len(other.episodes) :]
        failed = tuple(Episode(seed=episode.seed, steps=0, success=False, stopped=UNPLAYED) for episode in left)
        other = replace(other, episodes=(*other.episodes, *failed))
    seeds = [[episode.seed for episode in played.episodes] for played in (one, other)]
    if seeds[0] != seeds[1]:
        raise EvidenceError(
            f"{real}: its episodes are of seeds {_span(seeds[1])}, those of {simulated} of {_span(seeds[0])}: success "
            "on other goals can't be compared. Delete both folders, and the stages are made anew"
        )
    goals = goals_of(real, other)
    apart = max(
        (float(np.abs(goal - goals[seed]).max()) for seed, goal in goals_of(simulated, one).items() if seed in goals),
        default=0.0,
    )
    if apart > SAME_GOAL:
        raise EvidenceError(
            f"{real}: its goals are up to {apart:.3f} m from those of {simulated}, though the seeds are the same: the "
            "task was another one. Play both again with this version"
        )
    compared = compare_runs([other.run, one.run])
    return Pairing(simulated=one, real=other, gap=compared.pairs[0].rmse_unaligned)


def read_played(folder: Path, label: str) -> Played:
    """Read a folder of `play`.

    Raises:
        EvidenceError: When it is not whole.
    """
    run = read_run(folder, label)
    try:
        listed = json.loads((folder / METRICS).read_text(encoding="utf-8"))["episodes"]
        episodes = tuple(Episode(**one) for one in listed)
    except (OSError, ValueError, KeyError, TypeError) as cause:
        raise EvidenceError(f"{folder / METRICS}: can't be read: {cause}") from None
    stopped, gave_up = run.header.get("stopped"), run.header.get("gave_up")
    if (stopped and not gave_up) or not episodes:
        raise EvidenceError(
            f"{folder}: the run was ended early ({stopped or 'it has no episode'}); delete the folder to play it again"
        )
    return Played(run=run, episodes=episodes, gave_up=stopped if gave_up else None)


def goals_of(folder: Path, played: Played) -> dict[int, np.ndarray]:
    """The goal of each episode [m], shape (3,), by its seed; none of those that were stopped before their first step.

    Raises:
        EvidenceError: When the trace does not tell.
    """
    goal = np.asarray(Trace(folder / TRACE)["goal"], np.float64)
    found = {}
    for episode in played.episodes:
        stretch = played.run.episodes.get(("seed", episode.seed))
        if stretch is None and episode.stopped is not None:
            continue
        if stretch is None:
            raise EvidenceError(f"{folder}: its trace has no episode of seed {episode.seed}")
        found[episode.seed] = goal[stretch.rows[0], stretch.env]
    return found


def check_learnt(folder: Path, dynamics: Path | None) -> None:
    """Hold a fine-tuning's run against the dynamics that it is said to be of.

    Raises:
        EvidenceError: When it was done under others, or under none.
    """
    found = open_run(folder).record.hashes.get(DYNAMICS)
    wanted = None if dynamics is None else sha256(dynamics)
    if found != wanted:
        raise EvidenceError(
            f"{folder}: was fine-tuned {_under(found)}, and should have been {_under(wanted)}: it did not "
            "learn in the identified simulator. Delete the folder, and the stage is made anew"
        )


def check_one_arm(folders: Sequence[Path]) -> None:
    """Refuse recordings of more than one arm, or of one that was calibrated anew in between.

    Raises:
        EvidenceError: Naming the first two that differ.
    """
    first: tuple[Path, str] | None = None
    for folder in folders:
        header = Trace(folder / TRACE).header
        found = str(header.get("calibration_sha256"))
        if first is None:
            first = folder, found
        elif first[1] != found:
            raise EvidenceError(
                f"{folder}: is of an arm with another calibration ({found[:12]}...) than {first[0]} "
                f"({first[1][:12]}...): another arm, or this one calibrated anew, whose offsets are others. Begin with "
                "another --out"
            )


def _under(digest: object) -> str:
    return "without identified dynamics" if digest is None else f"under dynamics {str(digest)[:12]}"


def _span(seeds: Sequence[int]) -> str:
    return f"{min(seeds)} to {max(seeds)} ({len(seeds)})"
