"""A collected recording in two files: what is fitted, and what is held out; never by sample, always by episode."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from policy_port.errors import EvidenceError
from policy_port.identify.files import Unstated, motion, read_recordings
from policy_port.trace import Recorder, Trace, TraceError

USES = ("fit", "held_out")


def write_halves(trace: Path, folder: Path) -> dict[str, Path]:
    """Write `fit.npz` and `held_out.npz` from a trace of `collect`, by what the plan says each episode is for.

    Args:
        trace: The recording.
        folder: Where the halves go.

    Returns:
        The files by their use.

    Raises:
        EvidenceError: When it is no trace of a plan, was ended early, or has nothing of one half.
    """
    try:
        source = Trace(trace)
        arrays = {name: source[name] for name in source}
    except TraceError as cause:
        raise EvidenceError(str(cause)) from None
    planned = source.header.get("planned")
    if not isinstance(planned, list):
        raise EvidenceError(f"{trace}: is no recording of a plan; `policy-port collect` makes them")
    numbers = np.asarray(arrays["episode"])[:, 0]
    stopped = {one["episode"]: one["stopped"] for one in source.header.get("episodes", ()) if "stopped" in one}
    done = len(set(np.unique(numbers).tolist()) | stopped.keys())
    if done < len(planned) or source.header.get("stopped"):
        raise EvidenceError(f"{trace}: was ended after {done} of {len(planned)} episodes; collect it anew")
    files = {}
    for use in USES:
        wanted = [number for number, one in enumerate(planned) if one["use"] == use]
        chosen = [number for number in wanted if number not in stopped]
        if not chosen:
            word = "fitted" if use == "fit" else "held out"
            raise EvidenceError(
                f"{trace}: all episodes to be {word} were stopped, the last one because {stopped[wanted[-1]]}. "
                "Collect anew by a plan that stays farther from the table, or moves less"
                if wanted
                else f"{trace}: no episode of its plan is to be {word}; write `use: {use}` into a segment"
            )
        rows = np.flatnonzero(np.isin(numbers, chosen))
        files[use] = folder / f"{use}.npz"
        header = {**source.header, "half": use, "planned": [planned[number] for number in chosen]}
        with Recorder(files[use], header, durable=False) as recorder:
            for row in rows:
                recorder.record(**{name: array[row] for name, array in arrays.items()})
    return files


def check_apart(fit: Sequence[Path], held_out: Sequence[Path]) -> None:
    """Refuse a recording that is fitted and held out, whatever its files are called.

    Raises:
        EvidenceError: Naming both.
    """
    unstated = Unstated()
    known = {motion(one): one.name for one in read_recordings(fit, unstated)} if held_out else {}
    for one in read_recordings(held_out, unstated) if known else ():
        if (other := known.get(motion(one))) is not None:
            raise EvidenceError(
                f"{one.name}: is held out, and the same motion is fitted in {other}: the error of what was not fitted "
                "would be that of what was. Take one of them out"
            )
