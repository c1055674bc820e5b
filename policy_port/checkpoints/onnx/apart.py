"""Taking a graph of LEAPP apart: what is observed, the network, and what its output does.

A network of LEAPP reads the state of the robot in SI units and writes joint targets: scale, offset, history and order
of observation and action are operations inside the graph. Found as formulas, they belong into the contract, and what
lies between is the network. Where they have no form there, the inputs themselves are observed and the targets are the
action.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx

from policy_port.checkpoints.files.leapp_yaml import LeappModel, LeappTensor, Pipeline
from policy_port.checkpoints.onnx.blocks import (
    GRAVITY,
    LAST_ACTION,
    TASK,
    Block,
    Feedback,
    Number,
    Observation,
    Reader,
)
from policy_port.checkpoints.onnx.elements import Atom, Clip, Element
from policy_port.checkpoints.onnx.formulas import Formula, formulas, is_constant
from policy_port.checkpoints.onnx.meanings import JOINTS, QUATERNION, VECTORS, Meaning, meaning, robot_of
from policy_port.checkpoints.onnx.parts import Apart, Piece, Target
from policy_port.errors import CheckpointError

_TARGET = "target/"
_GAINS = ("kp", "kd")
_TARGETS_ACT = "its targets are no scaled raw action; they are the action, in SI units"


def take_apart(graph: onnx.ModelProto, pipeline: Pipeline, model: LeappModel) -> Apart:
    """Tell what a model of LEAPP reads and writes.

    Args:
        graph: The model, checked.
        pipeline: The YAML beside it.
        model: Which of its models that is.

    Raises:
        CheckpointError: When the YAML and the graph contradict each other, or an output has no place in a policy.
    """
    _check_ports(graph, pipeline, model)
    robot = robot_of(model)
    fed = {
        target.partition("/")[2]: source.partition("/")[2]
        for target, source in pipeline.feedback.items()
        if target.partition("/")[0] == model.name
    }
    meanings = {item.name: meaning(item, robot, pipeline.path) for item in model.inputs if item.name not in fed}
    work = _Work(graph, pipeline, model, meanings, fed)
    return work.apart()


def _check_ports(graph: onnx.ModelProto, pipeline: Pipeline, model: LeappModel) -> None:
    """Hold names and sizes of the YAML against the graph's."""
    stored = {tensor.name for tensor in graph.graph.initializer}
    sides = (
        ("input", model.inputs, [item for item in graph.graph.input if item.name not in stored]),
        ("output", model.outputs, list(graph.graph.output)),
    )
    for side, stated, there in sides:
        sizes = {item.name: [size.dim_value or 1 for size in item.type.tensor_type.shape.dim] for item in there}
        names = [item.name for item in stated]
        if odd := sorted(set(names) ^ set(sizes)):
            who = f"{pipeline.path} names it" if odd[0] in names else f"{model.file} has it"
            raise CheckpointError(
                f"{pipeline.path}: models.{model.name} and {model.file.name} differ in the {side} '{odd[0]}': only "
                f"{who}. The {side}s of the file are {', '.join(sizes) or 'none'}"
            )
        for item in stated:
            if list(item.shape) != sizes[item.name]:
                raise CheckpointError(
                    f"{pipeline.path}: {item.place} ({item.name}) has the shape {list(item.shape)}, but "
                    f"{model.file.name} has {sizes[item.name]} there"
                )


@dataclass(frozen=True)
class _Action:
    """What becomes of the network's output."""

    values: tuple[str, ...]
    targets: tuple[Target, ...]
    raw_clip: tuple[float, float] | None
    last_action: dict[str, tuple[int, ...]]
    why: str = ""
    """Why the targets themselves are the action."""


class _Work:
    """One graph, its formulas and what the YAML says of it."""

    def __init__(
        self,
        graph: onnx.ModelProto,
        pipeline: Pipeline,
        model: LeappModel,
        meanings: dict[str, Meaning],
        fed: dict[str, str],
    ) -> None:
        self.graph, self.pipeline, self.model = graph.graph, pipeline, model
        self.meanings, self.fed = meanings, fed
        self.values = formulas(graph, str(model.file))
        self.producers = {name: node for node in graph.graph.node for name in node.output}
        outputs = [item for item in model.outputs if item.name not in fed.values()]
        self.gains = [(item, self._gain(item)) for item in outputs if item.kind in _GAINS]
        self.outputs = [item for item in outputs if item.kind not in _GAINS]

    def _gain(self, item: LeappTensor) -> Formula:
        value = self.values[item.name]
        if value is None or not is_constant(value):
            raise CheckpointError(
                f"{self.pipeline.path}: {item.place} ({item.name}) is a gain that the network computes anew at every "
                "step; a contract's stiffness and damping are fixed, so this policy can't be ported"
            )
        return value.reshape(-1)

    def apart(self) -> Apart:
        """Everything."""
        if not self.outputs:
            raise CheckpointError(f"{self.pipeline.path}: models.{self.model.name} has no output that is an action")
        action = self._action()
        whole = [action.why] if action.why else []
        feedback = Feedback(
            last_action=action.last_action,
            carried={name: self.values[out] for name, out in self.fed.items() if name not in action.last_action},
            initial={key.partition("/")[2]: value for key, value in self.pipeline.initial.items()},
        )
        reader = Reader(self.meanings, feedback, len(action.targets))
        found = self._observed(reader, action)
        if found is None:
            whole.append("what it reads is no list of scaled numbers that a contract has terms for")
            pieces, layout = tuple(self._as_they_are(reader, action)), None
        else:
            piece, observation = found
            pieces, layout = (piece,), observation.layout
        carried = self._carried({piece.value for piece in pieces}, action)
        return Apart(
            model=self.model,
            meanings=self.meanings,
            pieces=pieces,
            layout=layout,
            actions=action.values,
            targets=action.targets,
            raw_clip=action.raw_clip,
            last_action=action.last_action,
            carried=carried,
            gains=tuple(self.gains),
            unused=tuple(
                item.name for item in self.outputs if item.name not in {target.output.name for target in action.targets}
            ),
            whole=tuple(whole),
        )

    # The output.

    def _action(self) -> _Action:
        """The raw action behind the targets; the targets where it can't be told."""
        known = [item for item in self.outputs if (item.kind or "").startswith(_TARGET)]
        rest = [item for item in self.outputs if item not in known]
        if not known:
            if len(rest) > 1:
                names = ", ".join(item.name for item in rest)
                raise CheckpointError(
                    f"{self.pipeline.path}: none of the outputs {names} has a kind, so which is the action is unclear"
                )
            known, stated = rest, False
        else:
            stated = True
        items = [(item, place, self._flat(item.name)[place]) for item in known for place in range(item.size)]
        behind = {atom.value for *_, element in items for atom in _atoms(element) if atom.value not in self.meanings}
        if stated and len(behind) == 1 and (found := self._raw(items, behind.pop())) is not None:
            return found
        alone = tuple(item.name for item in known)
        number = [Number(index=place) if stated else None for place in range(len(items))]
        targets = tuple(
            Target(output=item, element=place, number=number[index]) for index, (item, place, _) in enumerate(items)
        )
        if not stated:
            return _Action(alone, targets, None, self._last_action(alone[0]) if len(known) == 1 else {})
        return _Action(alone, targets, None, {}, _TARGETS_ACT)

    def _raw(self, items: list[tuple[LeappTensor, int, Any]], value: str) -> _Action | None:
        """The targets as scaled numbers of the value `value`; None where they are something else."""
        raw = self.values[value]
        if raw is None or raw.ndim != 2 or raw.shape[0] != 1 or value not in self.producers:
            return None
        last_action = self._last_action(value)
        clips = {self._clip_of(name, value) for name in last_action}
        clip = clips.pop() if len(clips) == 1 else None
        if clips:
            return None
        found: dict[int, Target] = {}
        for item, place, element in items:
            target = self._target(item, place, element, value, clip)
            if target is None or target[0] in found:
                return None
            found[target[0]] = target[1]
        if sorted(found) != list(range(raw.size)):
            return None
        targets = tuple(found[index] for index in range(raw.size))
        return _Action((value,), targets, None if clip is None else clip[:2], last_action)

    def _target(
        self, item: LeappTensor, place: int, element: Any, value: str, clip: Clip | None
    ) -> tuple[int, Target] | None:
        """Number of the raw action and what becomes of it."""
        if not isinstance(element, Element):
            return None
        own = [atom for atom in element.atoms if atom.value == value]
        rest = element.atoms - set(own)
        keys = {(atom,) for atom in element.atoms} | {()}
        if len(own) != 1 or len(rest) > 1 or not element.summands.keys() <= keys:
            return None
        slope, shift, clips = element.summands[own[0],], element.summands.get(()), element.clips
        if clip is not None:
            if slope != 1.0 or shift is not None or rest or clips[:1] == () or clips[0][:2] != clip[:2]:
                return None
            slope, shift, clips = clips[0].gain, clips[0].shift, clips[1:]
        if len(clips) > 1 or any(not np.isfinite(bounds[:2]).all() for bounds in clips):
            return None
        reading = next(iter(rest), None)
        if reading is not None and (self._term(reading) != "joint_pos" or element.summands[reading,] != 1.0 or clips):
            return None
        number = Number(index=place, slope=slope, shift=shift, clip=clips[0] if clips else None)
        on = None if reading is None else reading.index
        return own[0].index, Target(output=item, element=place, number=number, on_position=on)

    def _term(self, atom: Atom) -> str | None:
        return self.meanings[atom.value].term if atom.value in self.meanings else None

    def _last_action(self, value: str) -> dict[str, tuple[int, ...]]:
        """The inputs that are fed back numbers of the raw action, and which."""
        found = {}
        for name, out in self.fed.items():
            flat = self._flat(out)
            places = [_raw_place(item, value) for item in flat]
            if places and None not in places:
                found[name] = tuple(place for place in places if place is not None)
        return found

    def _clip_of(self, name: str, value: str) -> Clip | None:
        clips = {item.clips[0] if item.clips else None for item in self._flat(self.fed[name])}
        return clips.pop() if len(clips) == 1 else Clip(np.nan, np.nan)

    def _flat(self, name: str) -> list[Any]:
        value = self.values[name]
        return [] if value is None else list(value.reshape(-1))

    # The input.

    def _observed(self, reader: Reader, action: _Action) -> tuple[Piece, Observation] | None:
        """The first value that everything which the network reads goes through."""
        for name, value in self.values.items():
            if value is None or is_constant(value) or value.ndim != 2 or value.shape[0] != 1:
                continue
            if not self._through({name}, action, frozenset(self.fed) - action.last_action.keys()):
                continue
            inputs = {atom.value for item in value.reshape(-1) for atom in _atoms(item)} <= {*self.meanings, *self.fed}
            observation = reader.observation(value) if inputs else None
            if observation is not None and not self._better_raw(observation):
                return Piece(value=name, shape=value.shape, blocks=observation.blocks), observation
            if name in self.producers:
                return None
        return None

    def _better_raw(self, observation: Observation) -> bool:
        """Whether a contract has terms for all inputs of a block that it has no term for."""
        return any(
            all(self.meanings[name].term in VECTORS | JOINTS for name in block.source.split(","))
            for block in observation.blocks
            if block.term == TASK
        )

    def _through(self, cut: set[str], action: _Action, free: frozenset[str]) -> bool:
        """Whether the action depends on inputs through `cut` alone, and on all of it."""
        behind = self._behind({*action.values}, cut, free)
        ends = {item.name for item in self.model.inputs} & behind
        return cut <= behind and ends - cut <= free

    def _behind(self, names: set[str], cut: set[str], free: frozenset[str] = frozenset()) -> set[str]:
        """All values that some are computed from, `cut` taken as given, and what carries on an input of `free`."""
        found: set[str] = set()
        ends = list(names)
        while ends:
            name = ends.pop()
            if name in found or not name:
                continue
            found.add(name)
            if name in cut:
                continue
            if name in free:
                ends.append(self.fed[name])
            if name in self.producers:
                ends += self.producers[name].input
        return found

    def _as_they_are(self, reader: Reader, action: _Action) -> Iterator[Piece]:
        """The inputs themselves; of a quaternion the projected gravity, where nothing else of it is needed."""
        free = frozenset(self.fed) - action.last_action.keys()
        needed = self._behind({*action.values}, set(), free)
        for item in self.model.inputs:
            if item.name not in needed or item.name in free or len(item.shape) == 4:
                continue
            term = self.meanings[item.name].term if item.name in self.meanings else LAST_ACTION
            if term == QUATERNION and (piece := self._gravity(item.name, reader, action, free)) is not None:
                yield piece
                continue
            if item.name in action.last_action and action.last_action[item.name] != tuple(range(len(action.targets))):
                raise CheckpointError(
                    f"{self.pipeline.path}: {item.place} ({item.name}) is fed back a part of the action, and what the "
                    "network makes of it can't be taken apart; a contract's last_action is all of the action"
                )
            numbers = tuple(Number(index=place) for place in range(int(np.prod(item.shape))))
            term = TASK if term in (None, QUATERNION) else term
            yield Piece(
                value=item.name, shape=item.shape, blocks=(Block(term=term, source=item.name, numbers=numbers),)
            )

    def _gravity(self, name: str, reader: Reader, action: _Action, free: frozenset[str]) -> Piece | None:
        for value, formula in self.values.items():
            if formula is None or is_constant(formula) or formula.size != 3:
                continue
            observation = reader.observation(formula)
            if observation is None or [(block.term, block.source) for block in observation.blocks] != [(GRAVITY, name)]:
                continue
            if name not in self._behind({*action.values}, {value}, free):
                return Piece(value=value, shape=formula.shape, blocks=observation.blocks)
        return None

    def _carried(self, cut: set[str], action: _Action) -> dict[str, str]:
        free = frozenset(self.fed) - action.last_action.keys()
        behind = self._behind({*action.values}, cut, free)
        return {name: out for name, out in self.fed.items() if name in free and name in behind}


def _atoms(element: Any) -> frozenset[Atom]:
    return element.atoms if isinstance(element, Element) else frozenset()


def _raw_place(item: Any, value: str) -> int | None:
    """The number of `value` that an element is, clipped at most; None where it is something else."""
    if not isinstance(item, Element) or len(item.summands) != 1 or len(item.clips) > 1:
        return None
    ((summand, factor),) = item.summands.items()
    clean = not item.clips or item.clips[0][2:] == (1.0, 0.0)
    return summand[0].index if clean and factor == 1.0 and [a.value for a in summand] == [value] else None
