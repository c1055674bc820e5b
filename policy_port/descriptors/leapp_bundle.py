"""A policy and its contract as a pipeline of LEAPP: a model that observes, the network, and one that makes targets.

The network's file is in it as it is. The two models around it carry the contract's arithmetic, so that any runner of
LEAPP does what the contract says; the contract itself stands beside them in the YAML, since a graph's numbers have
seven digits and a graph knows no ranges, limits or sources. Who reads it holds it against the models first.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port import __version__
from policy_port.checkpoints.files.leapp_yaml import NETWORK, STORED, Pipeline
from policy_port.checkpoints.files.safe_load import read_bounded
from policy_port.contract import Contract
from policy_port.contract.diff import differences
from policy_port.descriptors import leapp_act, leapp_observe
from policy_port.descriptors.leapp_graph import Model
from policy_port.descriptors.onnx_file import OnnxMetadata
from policy_port.errors import ContractError
from policy_port.onnx_session import open_session

OBS, ACTIONS = "obs", "actions"
_READ_BACK = ("last_action", "filtered_action", "joint_target")
_STEPS = 8
_TOLERANCE = 1e-4
AGAIN = "write it anew by `policy-port contract write`, or import it without its contract: remove"


def bundle(contract: Contract, policy: Path) -> dict[str, Any]:
    """The files of a bundle by name: three models as bytes, and the YAML's data last.

    Raises:
        ContractError: Naming what the models can't do, or why the file is no network of this contract.
    """
    if contract.images:
        raise ContractError(
            f"contract '{contract.name}': its images ({contract.images[0].name}) are not written into "
            f"{leapp_observe.WHAT}, which says nothing of a camera"
        )
    network = _network(contract, policy)
    models = around(contract)
    files = {f"{model.name}.onnx": model.model().SerializeToString() for model in models}
    files[f"{NETWORK}.onnx"] = policy.read_bytes()
    return {**files, "leapp.yaml": _description(contract, models, network, files)}


def around(contract: Contract) -> tuple[Model, Model]:
    """The models before and behind the network."""
    before = leapp_observe.observation_model(contract)
    read_back = [name for name in _READ_BACK if f"{name}_in" in [item["name"] for item in before.inputs]]
    return before, leapp_act.targets_model(contract, read_back)


def _network(contract: Contract, policy: Path) -> Model:
    """What the YAML says of the network's tensors: `obs` to `actions`, and states NAME_in to NAME_out."""
    file = OnnxMetadata(policy)
    if (own := file.contract()) is not None and (apart := differences(own, contract)):
        raise ContractError(
            f"{policy}: was written with another contract than '{contract.name}' (its own against given): "
            f"{'; '.join(apart[:3])}. Give the port's folder in place of the contract"
        )
    stored = {tensor.name for tensor in file.model.graph.initializer}
    sides = [
        {item.name: [size.dim_value or 1 for size in item.type.tensor_type.shape.dim] for item in side}
        for side in ([item for item in file.model.graph.input if item.name not in stored], file.model.graph.output)
    ]
    model = Model(NETWORK)
    states = {name: f"{name.removesuffix('_in')}_out" for name in sides[0] if name != OBS}
    widths = [[1, contract.observation_size], [1, contract.action_size]]
    if [sides[0].get(OBS), sides[1].get(ACTIONS)] != widths or {ACTIONS, *states.values()} != sides[1].keys():
        found = [", ".join(f"{name} {shape}" for name, shape in side.items()) for side in sides]
        raise ContractError(
            f"{policy}: goes from {found[0]} to {found[1]}; the network of a bundle goes from {OBS} {widths[0]} to "
            f"{ACTIONS} {widths[1]}, its states from NAME_in to NAME_out. `policy-port export` writes it so: export it "
            "with this contract, and give the port's folder in place of the contract"
        )
    for tensors, names, shapes in (
        (model.inputs, (OBS, *states), sides[0]),
        (model.outputs, (ACTIONS, *states.values()), sides[1]),
    ):
        tensors += [{"name": name, "dtype": "float32", "shape": shapes[name], "type": "tensor"} for name in names]
    model.fed |= states
    return model


def _description(contract: Contract, around: tuple[Model, Model], network: Model, files: dict[str, bytes]) -> Any:
    """The YAML's data."""
    models = (around[0], network, around[1])
    described: dict[str, Any] = {}
    for model in models:
        data = files[f"{model.name}.onnx"]
        sums = {f"{kind}sum": hashlib.new(kind, data, usedforsecurity=False).hexdigest() for kind in ("md5", "sha256")}
        parameters = {"model_path": f"{model.name}.onnx", **sums, "backend": "onnx"}
        described[model.name] = {"inputs": model.inputs, "outputs": model.outputs, "parameters": parameters}
    stored = contract.model_dump(mode="json", exclude_none=True, exclude_defaults=True)
    return {
        "models": described,
        "pipeline": {"configs": {"frequency": 1.0 / contract.control_dt, STORED: stored}, **_flows(models)},
        "system information": {"leapp config version": "1.3", "written by": f"policy-port {__version__}"},
    }


def _flows(models: tuple[Model, ...]) -> dict[str, Any]:
    """Who fills what, within a step and from one to the next, and what is the runner's."""
    before, network, behind = models
    data = {f"{before.name}/{OBS}": [f"{network.name}/{OBS}"]}
    data[f"{network.name}/{ACTIONS}"] = [f"{behind.name}/{ACTIONS}"]
    fed = {f"{model.name}/{out}": [f"{model.name}/{name}"] for model in models for name, out in model.fed.items()}
    names = [item["name"] for item in behind.outputs]
    fed |= {f"{behind.name}/{n}_out": [f"{before.name}/{n}_in"] for n in _READ_BACK if f"{n}_out" in names}
    filled = {target for flow in (data, fed) for targets in flow.values() for target in targets}

    def left(side: str, taken: set[str]) -> dict[str, list[str]]:
        names = {model.name: [item["name"] for item in getattr(model, side)] for model in models}
        free = {name: [n for n in each if f"{name}/{n}" not in taken] for name, each in names.items()}
        return {name: each for name, each in free.items() if each}

    ends = {"inputs": left("inputs", filled), "outputs": left("outputs", {*data, *fed})}
    return {"data_flow": data, "feedback_flow": fed, **ends}


def stored_contract(pipeline: Pipeline) -> Contract | None:
    """The contract that a bundle of this program holds, after it was held against the models; None without one.

    Raises:
        ContractError: When the YAML or a model says something else.
    """
    if pipeline.stored is None:
        return None
    where = f"{pipeline.path}: pipeline.configs.{STORED}"
    try:
        contract = Contract.model_validate(pipeline.stored)
    except ValueError as cause:
        raise ContractError(f"{where} holds a damaged contract: {cause}") from None
    models = around(contract)
    for made in models:
        _check_tensors(pipeline, made, where)
        _check_numbers(pipeline, made, where)
    if pipeline.frequency is None or abs(pipeline.frequency * contract.control_dt - 1.0) > 1e-6:
        raise ContractError(
            f"{where} has a control period of {contract.control_dt:g} s, but pipeline.configs.frequency is "
            f"{pipeline.frequency}; {AGAIN} {STORED}"
        )
    return contract


def _check_tensors(pipeline: Pipeline, made: Model, where: str) -> None:
    """Hold the YAML's tensors of a model against those that the contract has."""
    model = pipeline.models.get(made.name)
    for side, stated in (("inputs", made.inputs), ("outputs", made.outputs)):
        found = {item.name: item for item in getattr(model, side)} if model else {}
        if found.keys() != {item["name"] for item in stated}:
            raise ContractError(
                f"{where} makes the {side} {', '.join(item['name'] for item in stated)} of models.{made.name}, and the "
                f"file has {', '.join(found) or 'none'}; {AGAIN} {STORED}"
            )
        for item in stated:
            there, names = found[item["name"]], item.get("element_names")
            said = (there.shape, there.kind, there.names, there.connection)
            wanted = (tuple(item["shape"]), item.get("kind"), tuple(names[0]) if names else None)
            if said != (*wanted, item.get("isaaclab_connection")):
                raise ContractError(
                    f"{pipeline.path}: {there.place} ({there.name}) says another shape, kind, connection or other "
                    f"element_names than the contract in pipeline.configs.{STORED}; {AGAIN} {STORED}"
                )


def _check_numbers(pipeline: Pipeline, made: Model, where: str) -> None:
    """Run a model of the file and the one that the contract makes on the same numbers."""
    model, random = pipeline.models[made.name], np.random.default_rng(0)
    data = read_bounded(model.file)
    pipeline.check(model, data)
    runs = [open_session(of, ContractError, f"{model.file}:") for of in (data, made.model().SerializeToString())]
    types = {item["name"]: item["dtype"] for item in made.inputs}
    names = [item["name"] for item in made.outputs]
    states: list[dict[str, NDArray[Any]]] = [
        {item["name"]: np.zeros(item["shape"], types[item["name"]]) for item in made.inputs if item["name"] in made.fed}
        for _ in runs
    ]
    for _ in range(_STEPS):
        given = {name: shape for name, shape in _shapes(made) if name not in made.fed}
        inputs = {name: random.standard_normal(shape).astype(types[name]) for name, shape in given.items()}
        try:
            outputs = [
                dict(zip(names, map(np.asarray, run.run(names, {**inputs, **state})), strict=True))
                for run, state in zip(runs, states, strict=True)
            ]
        # ONNX Runtime raises classes of its own that share no base but Exception.
        except Exception as cause:
            raise ContractError(f"{model.file}: does not run as {where} says: {str(cause).splitlines()[0]}") from cause
        for name in names:
            one, other = (side[name].astype(np.float64) for side in outputs)
            if one.shape != other.shape or not np.allclose(one, other, rtol=_TOLERANCE, atol=_TOLERANCE):
                raise ContractError(
                    f"{model.file}: computes another {name} than the contract in {where} does; {AGAIN} {STORED}"
                )
        states = [{into: side[out] for into, out in made.fed.items()} for side in outputs]


def _shapes(made: Model) -> Iterator[tuple[str, list[int]]]:
    return ((item["name"], item["shape"]) for item in made.inputs)
