"""Reading an ONNX file, and what LEAPP's YAML beside it says of it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import onnx

from policy_port.checkpoints.files.leapp_yaml import NETWORK, LeappModel, Pipeline, beside
from policy_port.checkpoints.onnx.apart import take_apart
from policy_port.checkpoints.onnx.apart_check import check_parts
from policy_port.checkpoints.onnx.leapp_joined import whole_model
from policy_port.checkpoints.onnx.meanings import meaning, robot_of
from policy_port.checkpoints.onnx.network import network_of
from policy_port.checkpoints.onnx.parts import Apart
from policy_port.checkpoints.onnx.read import check_model, parse_model, read_model
from policy_port.errors import CheckpointError

AROUND = frozenset(("EyeLike", "Size"))
"""Operators that compute observations and targets around a network; in the network itself they are refused."""


def read_policy(
    path: Path, data: bytes, given: Mapping[str, str], *, mean: bool = False
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The model of the network in a file, and what the file holds beside it, in words.

    Args:
        path: The file.
        data: Its bytes.
        given: Outputs by the role that the user names.
        mean: Take the mean of random numbers, instead of refusing them.
    """
    pipeline = beside(path)
    if pipeline is None:
        return read_model(path, data, given, mean=mean)
    if pipeline.stored is not None:
        return _own(pipeline, path, data, given, mean)
    pipeline, model, data, joined = whole_model(pipeline, path, data, AROUND)
    if is_plain(model, pipeline):
        network, notes = read_model(path, data, given, mean=mean)
        return network, (*joined, *notes)
    if given:
        raise CheckpointError(f"{path}: {pipeline.path.name} beside it says which output is what; leave out --output")
    parts, network = taken_apart(pipeline, model, data)
    check_model(network, path)
    return network, (*joined, *_notes(pipeline, parts))


def _own(
    pipeline: Pipeline, path: Path, data: bytes, given: Mapping[str, str], mean: bool
) -> tuple[onnx.ModelProto, tuple[str, ...]]:
    """The network of a bundle of this program, whose other models are the contract beside it."""
    network = pipeline.models[NETWORK]
    if path.name != network.file.name:
        raise CheckpointError(
            f"{path}: is the contract's arithmetic, not the network: {pipeline.path.name} beside it names "
            f"{network.file.name} for that; read that file"
        )
    pipeline.check(network, data)
    model, notes = read_model(path, data, given, mean=mean)
    return model, (f"the network alone, as {pipeline.path.name} beside it says, whose contract it holds", *notes)


def taken_apart(pipeline: Pipeline, model: LeappModel, data: bytes) -> tuple[Apart, onnx.ModelProto]:
    """The parts of a model of LEAPP, and the network among them, held against the whole."""
    whole = parse_model(model.file, data)
    check_model(whole, model.file, AROUND)
    parts = take_apart(whole, pipeline, model)
    network = network_of(whole, parts, pipeline)
    check_parts(whole, network, parts, pipeline)
    return parts, network


def is_plain(model: LeappModel, pipeline: Pipeline) -> bool:
    """Whether a model is a network from one vector to one action, of which the YAML says no more than that."""
    fed = {target.partition("/")[2] for target in pipeline.feedback}
    read = [item for item in model.inputs if item.name not in fed and len(item.shape) == 2]
    states = [item for item in model.inputs if item.name in fed]
    robot = robot_of(model)
    return (
        len(read) == 1
        and all(len(item.shape) == 3 for item in states)
        and meaning(read[0], robot, pipeline.path).term is None
        and not any(item.kind for item in model.outputs)
    )


def _notes(pipeline: Pipeline, parts: Apart) -> tuple[str, ...]:
    name = pipeline.path.name
    read = ", ".join(f"{block.term} {block.width}" for block in parts.blocks)
    if not parts.whole:
        return (f"taken apart as {name} beside it says; the network reads {read}",)
    return (f"{name} beside it says what it reads: {read}", *(f"the graph as it is: {why}" for why in parts.whole))
