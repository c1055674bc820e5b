"""Isaac Lab's matrix: trained in PhysX or Newton, played in PhysX or Newton."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from policy_port.compare.measure import Measures
from policy_port.compare.run import Run
from policy_port.errors import EvidenceError

TAGS = ("PP", "PN", "NN", "NP")
"""Trained in, played in: P is PhysX, N is Newton."""

HOME = {"PP": "PP", "PN": "PP", "NN": "NN", "NP": "NN"}
"""The run that each is held against: the same policy in the simulator it was trained in."""


@dataclass(frozen=True, kw_only=True)
class Matrix:
    """The four runs."""

    cells: dict[str, Measures]
    """By tag, all of TAGS."""

    def rows(self) -> tuple[tuple[str, str, str], ...]:
        """One row per training: name, cell played in PhysX, cell played in Newton."""
        return (
            ("trained in PhysX", self.cell("PP"), self.cell("PN")),
            ("trained in Newton", self.cell("NP"), self.cell("NN")),
        )

    def cell(self, tag: str) -> str:
        """What the run under a tag shows, in words."""
        one = self.cells[tag]
        parts = [tag]
        if one.outcome is not None:
            low, high = one.outcome.interval
            parts.append(
                f"{one.outcome.what} {one.outcome.good} of {one.outcome.trials} ({100 * low:.0f} to {100 * high:.0f} %)"
            )
        if one.survival is not None:
            parts.append(f"{one.survival:.2f} s")
        if one.velocity_error is not None:
            parts.append(f"velocity error {one.velocity_error:.3f} m/s")
        return ", ".join(parts)


def check_tags(runs: Mapping[str, Run]) -> list[str]:
    """Hold the tags against what the traces say.

    Args:
        runs: Runs by tag.

    Returns:
        Warnings, a sentence each.

    Raises:
        EvidenceError: When a tag is missing or unknown.
    """
    unknown = [tag for tag in runs if tag not in TAGS]
    missing = [tag for tag in TAGS if tag not in runs]
    if unknown or missing:
        said = f"unknown tag {', '.join(unknown)}" if unknown else f"no run is tagged {', '.join(missing)}"
        raise EvidenceError(
            f"{said}; the matrix needs --tag PP=RUN --tag PN=RUN --tag NN=RUN --tag NP=RUN, the first letter where it "
            "was trained (P PhysX, N Newton), the second where it was played"
        )
    found = []
    for first, second in (("PP", "NP"), ("NN", "PN")):
        engines = [runs[tag].simulator.split()[0].lower() for tag in (first, second)]
        if engines[0] != engines[1]:
            found.append(
                f"{first} and {second} should have been played in one simulator, and say {runs[first].simulator} and "
                f"{runs[second].simulator}: is a tag wrong?"
            )
    if runs["PP"].simulator == runs["PN"].simulator:
        found.append(f"PP and PN were both played in {runs['PP'].simulator}: is a tag wrong?")
    for home, others in (("PP", ("NN", "NP")), ("NN", ("PN",))):
        for other in others:
            digests = [runs[tag].header.get("checkpoint_sha256") for tag in (home, other)]
            if digests[0] is not None and digests[0] == digests[1]:
                found.append(f"{home} and {other} should be two policies, and ran the same one: is a tag wrong?")
    return found
