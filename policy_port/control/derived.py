"""Signals that nobody measures, worked out in the row: by the very operations that a port's graph is written with."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

from policy_port.arrays import Array
from policy_port.contract.sensed_terms import HeightScanTerm
from policy_port.control.signals import Signals
from policy_port.deploy.arithmetic import bound
from policy_port.deploy.derived import DERIVED
from policy_port.deploy.past import OUT, TIME
from policy_port.deploy.program import Program, Value
from policy_port.deploy.source import Situation, Source
from policy_port.deploy.step import ROW
from policy_port.errors import TaskError

Update = Callable[[], object]


def updates(signals: Signals) -> tuple[Update, ...]:
    """What fills the columns of signals that an observation reads and nobody measures, to be called in this order."""
    contract = signals.contract
    # What the network is shown of the command moves on whether or not a term reads it.
    names = ["command_in_force"] if contract.command.shaped else []
    names += [reading.signal for term in contract.observation.terms for reading in term.readings(contract)]
    wanted = {name: (DERIVED[name], signals.view(name)) for name in dict.fromkeys(names) if name in DERIVED}
    scans = [term for term in contract.observation.terms if isinstance(term, HeightScanTerm) and term.miss is None]
    checks = [_hits(term, signals) for term in scans]
    return (*checks, computed(signals, wanted)) if wanted else ()


def computed(signals: Signals, wanted: Mapping[str, tuple[Callable[[Source], Value], Array]]) -> Update:
    """A call that works values out from the signals as they stand.

    Args:
        signals: The signals; a step at time zero is the first one after a reset.
        wanted: What computes each value, and the array that it goes into, shape (num_envs, width).
    """
    program, rows = Program(), signals.num_envs
    arrays = {ROW: signals.row, TIME: signals.time, **{name: out for name, (_, out) in wanted.items()}}
    row, _ = (program.input(name, arrays[name].shape[1]) for name in (ROW, TIME))
    situation = Situation(
        contract=signals.contract,
        layout=signals.layout,
        mountings=signals.mountings,
        clip=lambda: signals.clip,
        derived=DERIVED,
    )
    source = Source(program, row, situation)
    program.outputs |= {name: compute(source) for name, (compute, _) in wanted.items()}
    for name, (before, after) in source.states.held.items():
        program.outputs[f"{name}{OUT}"] = after
        arrays[before.name] = arrays[f"{name}{OUT}"] = np.zeros((rows, before.width))
    return bound(program, arrays, rows)


def _hits(term: HeightScanTerm, signals: Signals) -> Update:
    """Refuses a scan whose ray hits nothing, where nothing says what the network sees then."""
    ends = signals.view(term.scan.name)[:, 2::3]

    def check() -> None:
        missed = np.isnan(ends)
        if missed.any():
            env, ray = np.argwhere(missed)[0].tolist()
            raise TaskError(
                f"observation term '{term.label}' of contract '{signals.contract.name}': ray {ray} of environment "
                f"{env} hits nothing within {term.max_distance:g} m of where it starts, {term.start:g} m above; "
                "state what the network then sees with `miss`, or another `start`"
            )

    return check
