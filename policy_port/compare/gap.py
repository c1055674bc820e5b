"""How far a simulation is from a recorded run, before and after its dynamics were identified."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from policy_port.compare.pair import Pair
from policy_port.compare.run import Run
from policy_port.dynamics.document import Dynamics
from policy_port.errors import EvidenceError


@dataclass(frozen=True, kw_only=True)
class Gap:
    """The joints' root mean square distance to the reference, at equal times: what comes late is away too."""

    dynamics_sha256: str
    """The dynamics in question."""
    reference: str
    """Label of the recorded run."""
    before: dict[str, float | None]
    """Of runs without these dynamics, by label [rad]; None where the episodes can't be compared."""
    after: dict[str, float | None]
    """Of runs under them."""

    def text(self) -> str:
        """The gaps in a line each, and by how much they fell."""
        lines = [f"gap to {self.reference} under dynamics {self.dynamics_sha256[:12]}"]
        for when, gaps in (("before", self.before), ("after", self.after)):
            lines += [f"  {when:<7}{label}: {_shown(value)}" for label, value in gaps.items()]
        before, after = ([value for value in gaps.values() if value is not None] for gaps in (self.before, self.after))
        if before and after and min(before) > 0.0:
            change = 1.0 - min(after) / min(before)
            lines.append(f"  {abs(100.0 * change):.0f} % {'smaller' if change >= 0.0 else 'larger'}")
        return "\n".join(lines)


def gap_of(runs: Sequence[Run], pairs: Sequence[Pair], dynamics: Dynamics) -> Gap:
    """The gap of the runs to the first one.

    Raises:
        EvidenceError: When none was played under these dynamics, or all were.
    """
    known = dynamics.sha256
    under = {run.label for run in runs if run.header.get("dynamics_sha256") == known}
    gaps = {pair.other: pair.rmse_unaligned for pair in pairs}
    before = {label: value for label, value in gaps.items() if label not in under}
    after = {label: value for label, value in gaps.items() if label in under}
    if not after or not before:
        others = {str(run.header.get("dynamics_sha256"))[:12] for run in runs if "dynamics_sha256" in run.header}
        raise EvidenceError(
            f"of the runs beside {runs[0].label}, {len(after)} were played under the dynamics {known[:12]} and "
            f"{len(before)} were not{f' (runs are under: {", ".join(sorted(others))})' if others else ''}; "
            "give one of each: `policy-port play` with --dynamics FILE and without"
        )
    return Gap(dynamics_sha256=known, reference=runs[0].label, before=before, after=after)


def _shown(value: float | None) -> str:
    return "no episodes in common" if value is None else f"{value:.4f} rad"
