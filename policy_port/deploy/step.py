"""A whole control step as a program: signals to observation, observation to action, action to targets.

What nobody measures is worked out here once for all (`derived`). Gather, scale and targets are planned once (`layout`,
`targets`); `control.observation` and `control.action` do them in NumPy's buffers, in the same order.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from policy_port.contract.layout import observation_slots
from policy_port.contract.spec import Contract
from policy_port.contract.term import UNBOUNDED
from policy_port.deploy.derived import DERIVED
from policy_port.deploy.layout import REMEMBERED, Layout, affine, at_positions, observed, place_sizes, signal_sizes
from policy_port.deploy.past import IN, OUT
from policy_port.deploy.places import Finder
from policy_port.deploy.program import Program, Value
from policy_port.deploy.reference import targets as motion_targets
from policy_port.deploy.source import Situation, Source
from policy_port.deploy.targets import HELD, joint_targets
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion
from policy_port.port.format import DEPLOY_ACTION as ACTION
from policy_port.port.format import DEPLOY_OBSERVATION as OBSERVATION
from policy_port.port.format import DEPLOY_TARGET as TARGET

ROW, ZERO = "signals", "zero"
WIDEST = 32
"""Joints up to which a product with a diagonal matrix is quicker than two operations."""


@dataclass(frozen=True, kw_only=True)
class Step:
    """A control step, ready to be run or written down."""

    program: Program
    """Its operations, the network as one of them."""
    layout: Layout
    """The row of signals that it reads."""
    signals: tuple[str, ...]
    """Signals that it is given by name; empty where it is given the row."""
    states: dict[str, tuple[str, str]]
    """Input and output of each state. All start as zeros, and are set to zeros at a reset."""
    tells: str = ACTION
    """Of a row's step: the output of which no number is finite where one of observation or action is not."""


def of_row(contract: Contract, layout: Layout) -> Step:
    """The step that reads one row of signals, in which `REMEMBERED` stand as the last step left them.

    Whoever resets an environment puts its start into the row: the joint target at the measured positions, and actions
    of zero. Signals that nobody measures stand in the row like the others. Whole signals are inputs of their own
    (`VIEW`), which are columns of the row's memory.

    Raises:
        TaskError: When a term can only be computed by a task environment.
    """
    program = Program()
    row = program.input(ROW, layout.width)
    return _built(program, row, (), replace(_situation(contract, layout, None, None), derived={}, views=True))


def by_name(contract: Contract, *, mountings: Finder | None = None, motion: Motion | None = None) -> Step:
    """The step that is given signals by name, joints in the contract's order.

    What `REMEMBERED` are is a state like any other: the first step after a reset starts them. Without `mountings`,
    where the places are that terms name are signals too (`place_sizes`).

    Raises:
        TaskError: When a term can only be computed by a task environment.
        RobotError: When nobody knows a place on the base that a term names.
        MotionError: When the contract follows a motion, and there is none or another.
    """
    sizes = signal_sizes(contract, len(contract.joint_names)) | (place_sizes(contract) if mountings is None else {})
    read = tuple(name for name in sizes if name != ZERO)
    for _ in range(2):
        # Once to see what is read, once with that alone.
        layout = Layout(joint_names=contract.joint_names, sizes={name: sizes[name] for name in read})
        situation = _situation(contract, layout, mountings, motion)
        program = Program()
        step = _built(program, _joined(program, situation), read, situation)
        read = tuple(name for name in read if name in layout.used)
    return replace(step, signals=tuple(name for name in step.signals if name in step.program.inputs))


def _situation(contract: Contract, layout: Layout, mountings: Finder | None, motion: Motion | None) -> Situation:
    @functools.cache
    def clip() -> Clip:
        return Clip.of(contract, motion)

    return Situation(contract=contract, layout=layout, mountings=mountings, clip=clip, derived=DERIVED)


def _joined(program: Program, situation: Situation) -> Value:
    """The row, put together from signals by name and from what the last step left."""
    parts = []
    for name, width in situation.layout.sizes.items():
        if name in REMEMBERED:
            parts.append(program.input(f"{name}{IN}", width))
        elif width:
            parts.append(program.input(name, width))
    return program.concat(parts)


def _built(program: Program, row: Value, by: tuple[str, ...], situation: Situation) -> Step:
    source, contract = Source(program, row, situation), situation.contract
    spread = not by and _spread(contract, situation.layout)
    if by and "joint_target" in situation.layout.sizes:
        _start_targets(source)
    observation = _observation(source)
    raw = program.network(observation, contract.action_size)
    if not by:
        # Zero times NaN or infinity is NaN: where one number of the observation or the action is none, no action is.
        # One look then tells, and none of finite numbers changes.
        nothing = observation.times(np.zeros((observation.width, raw.width)))
        if spread:
            # The product that makes the targets has the other actions times zero in it.
            raw = raw + nothing
        else:
            eye = program.constant(np.eye(raw.width), raw.kind)
            raw = program.add("Gemm", [raw, eye, nothing], raw.width, raw.kind)
    remembered = {"last_action": _clipped(source, raw)}
    in_force = _in_force(source, remembered["last_action"])
    if contract.action.reshapes_raw:
        remembered["filtered_action"] = in_force
    remembered["joint_target"] = _product(source, in_force) if spread else _targets(source, in_force)
    outputs = {OBSERVATION: observation, ACTION: raw, TARGET: remembered["joint_target"]}
    states = {}
    for name, value in remembered.items():
        if not by:
            outputs[name] = value
        elif f"{name}{IN}" in program.inputs:
            given = outputs.setdefault(TARGET if name == TARGET else f"{name}{OUT}", value)
            assert given is value
            states[name] = (f"{name}{IN}", TARGET if name == TARGET else f"{name}{OUT}")
    for name, (_, value) in source.states.held.items():
        outputs[f"{name}{OUT}"] = value
        states[name] = (f"{name}{IN}", f"{name}{OUT}")
    program.outputs = outputs
    tells = TARGET if spread else ACTION
    return Step(program=program, layout=situation.layout, signals=by, states=states, tells=tells)


def _spread(contract: Contract, layout: Layout) -> bool:
    """Whether each target is one joint's action times a factor and something added, and nothing is behind that.

    Such targets are one product of the actions with a diagonal matrix; an operation costs 0.3 us whatever it does.
    """
    driven = joint_targets(contract)
    return (
        not np.isfinite(contract.raw_bounds).any()
        and not contract.action.late.steps
        and contract.action.filter is None
        and set(driven) == set(layout.joint_names)
        and len(driven) <= WIDEST
        and all(drive.reference == "none" and drive.clip == UNBOUNDED for drive in driven.values())
    )


def _start_targets(source: Source) -> None:
    """The first step after a reset finds each joint's target where the joint is; others at zero."""
    layout, program = source.layout, source.program
    columns = layout.columns("joint_target")
    layout.used.discard("joint_target")
    held = source.row[list(columns)]
    start = source.signal("joint_pos")
    driven = at_positions(source.contract, layout.joint_names)
    if not driven.all():
        start = start * driven
    held = program.where(source.states.fresh, start, held)
    before = [source.row[: columns.start]] if columns.start else []
    behind = [source.row[columns.stop :]] if columns.stop < layout.width else []
    source.row = program.concat([*before, held, *behind])


def _observation(source: Source) -> Value:
    contract = source.contract
    observation = contract.observation
    step = _step(source)
    if observation.clip is not None:
        low, high = observation.clip
        step = step.clip([low] * step.width, [high] * step.width)
    late = [term.late for term in observation.terms for _ in term.elements(contract)]
    nothing = float(np.clip(0.0, *(observation.clip or UNBOUNDED)))
    delays = [(column, delay.steps) for column, delay in enumerate(late)]
    first = np.array([delay.fill == "first" for delay in late])
    step = source.states.past("observation_delay", step, delays, first, nothing)
    stacks = [observation.stack(term) for term in observation.terms]
    columns = [(term.label, element) for term in observation.terms for element in contract.term_elements(term)]
    place = {column: index for index, column in enumerate(columns)}
    slots = [(place[slot.term, slot.element], slot.age) for slot in observation_slots(contract)]
    first = np.repeat([stack.fill == "first" for stack in stacks], [*map(contract.term_size, observation.terms)])
    return source.states.past("observation_history", step.cast("float32"), slots, first, nothing)


def _step(source: Source) -> Value:
    """One step's numbers: gain * clip(signal) + bias."""
    places, numbers = observed(source.contract)
    layout, row, width = source.layout, source.row, source.row.width
    computed: dict[str, tuple[int, Value]] = {}
    columns: list[int] = []
    for signal, at in places:
        if signal == ZERO and ZERO not in layout.sizes:
            columns.append(0)
        elif signal not in source.situation.derived:
            columns.append(layout.first(signal) + (layout.joint(at) if isinstance(at, str) else at))
        else:
            if signal not in computed:
                computed[signal] = (width, source.found(signal))
                width += computed[signal][1].width
            assert isinstance(at, int)
            columns.append(computed[signal][0] + at)
    gain, bias, low, high = affine(numbers)
    step = source.program.concat([row, *(value for _, value in computed.values())])[columns].clip(low, high)
    if (gain != 1.0).any():
        step = step * gain
    if (bias != 0.0).any():
        step = step + bias
    if ZERO in layout.sizes:
        return step
    read = np.array([signal != ZERO for signal, _ in places])
    return step if read.all() else source.program.choose(read, step, gain * np.clip(0.0, low, high) + bias)


def _clipped(source: Source, raw: Value) -> Value:
    last = raw.cast("float64")
    low, high = source.contract.raw_bounds
    return last.clip(low, high)


def _in_force(source: Source, raw: Value) -> Value:
    """The raw action behind delay and filter."""
    contract, action = source.contract, source.contract.action
    if action.late.steps:
        late = [(column, action.late.steps) for column in range(raw.width)]
        first = np.full(raw.width, action.late.fill == "first")
        raw = source.states.past("action_delay", raw, late, first)
    if action.filter is not None and action.filter.of == "raw":
        raw = source.states.filtered("action_filter", raw, action.filter, contract.control_dt, None)
    return raw


def _targets(source: Source, raw: Value) -> Value:
    """Targets of every joint of the row [SI]."""
    contract, layout, program = source.contract, source.layout, source.program
    driven = joint_targets(contract)
    names = list(driven)
    drives = [driven.get(name, HELD) for name in layout.joint_names]
    # A joint that nothing drives has a gain of zero, so any finite action will do for it.
    moved = raw[[names.index(name) if name in driven else 0 for name in layout.joint_names]]
    held = np.array([name not in driven for name in layout.joint_names])
    target = moved * np.array([drive.gain for drive in drives])
    if held.any():
        target = program.choose(~held, target, 0.0)
    references = [drive.reference for drive in drives]
    target = _added(source, target, references, "joint_pos")
    followed = tuple(name for name, drive in driven.items() if drive.reference == "motion")
    if followed:
        target = target + motion_targets(source, followed)
    bias = np.array([drive.bias for drive in drives])
    if bias.any():
        target = target + bias
    target = _added(source, target, references, "joint_target")
    target = target.clip([drive.clip[0] for drive in drives], [drive.clip[1] for drive in drives])
    stated = contract.action.filter
    if stated is None or stated.of != "target":
        return target
    return source.states.filtered("target_filter", target, stated, contract.control_dt, _held_targets(source))


def _product(source: Source, raw: Value) -> Value:
    """The targets of a step that is `_spread`, in one operation."""
    driven, names, program = joint_targets(source.contract), source.layout.joint_names, source.program
    matrix = np.zeros((raw.width, len(names)))
    for row, name in enumerate(driven):
        matrix[row, names.index(name)] = driven[name].gain
    bias = program.constant([driven[name].bias for name in names])
    return program.add("Gemm", [raw, program.constant(matrix), bias], len(names), raw.kind)


def _added(source: Source, target: Value, references: Sequence[str], signal: str) -> Value:
    """Targets with what they are added to, where that is this signal."""
    mine = np.array([reference == signal for reference in references])
    if mine.all():
        return source.signal(signal) + target
    return target + source.program.choose(mine, source.signal(signal), 0.0) if mine.any() else target


def _held_targets(source: Source) -> Value:
    """What a filter of targets holds at reset: default poses where it says so, else the joints' start."""
    contract, layout = source.contract, source.layout
    stated = contract.action.filter
    assert stated is not None
    start = source.signal("joint_pos")
    driven = at_positions(contract, layout.joint_names)
    if not driven.all():
        start = start * driven
    positions = [name for name in contract.action_joint_names if contract.drives[name] == "position"]
    by_default = np.array([stated.held == "default" and name in positions for name in layout.joint_names])
    if not by_default.any():
        return start
    pose = [contract.joints[n].default / contract.per_si(n) if n in positions else 0.0 for n in layout.joint_names]
    return source.program.choose(~by_default, start, pose)
