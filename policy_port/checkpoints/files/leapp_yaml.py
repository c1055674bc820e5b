"""LEAPP's YAML: which models a policy is made of, what their tensors are, and what flows where.

Isaac Lab 3 exports policies with LEAPP. The YAML lies beside the models that it names by file and SHA-256.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.files.safe_load import read_bounded
from policy_port.checkpoints.files.safetensors_read import read_safetensors
from policy_port.errors import CheckpointError, closest
from policy_port.plain_yaml import PlainYaml, read_bytes, read_text

_MAX_BYTES = 4 * 1024 * 1024
_WHAT = "a YAML of LEAPP"
_SECTIONS = frozenset({"models", "pipeline"})
STORED = "policy_port_contract"
"""Key of pipeline.configs, LEAPP's place for what is one's own, under which this program's bundles hold a contract."""
NETWORK = "policy"
"""Name of the network among the models of such a bundle."""


@dataclass(frozen=True, kw_only=True)
class LeappTensor:
    """An input or output of a model."""

    name: str
    shape: tuple[int, ...]
    """Sizes, the batch of 1 included."""
    kind: str | None
    """What it means, such as state/joint/position; None where the exporter did not say."""
    names: tuple[str, ...] | None
    """Names of its elements, along the only axis that has names."""
    connection: str | None
    """What Isaac Lab connects it to, such as state:robot:joint_pos."""
    place: str
    """Dotted key in the file."""

    @property
    def size(self) -> int:
        """Number of elements of one observation."""
        return int(np.prod(self.shape[1:] if len(self.shape) > 1 else self.shape))


@dataclass(frozen=True, kw_only=True)
class LeappModel:
    """A model of the pipeline."""

    name: str
    file: Path
    sha256: str
    backend: str
    """onnx, jit or pt2."""
    inputs: tuple[LeappTensor, ...]
    outputs: tuple[LeappTensor, ...]

    def tensor(self, name: str) -> LeappTensor:
        """An input or output by its name."""
        return next(item for item in (*self.inputs, *self.outputs) if item.name == name)


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A whole file. Tensors are named MODEL/TENSOR, as it names them."""

    path: Path
    models: dict[str, LeappModel]
    """By name, in the order in which they run."""
    data: dict[str, str]
    """The output that fills each input which another model of the same step computes."""
    feedback: dict[str, str]
    """The output that fills each input at the next step."""
    initial: dict[str, NDArray[Any]]
    """What fills an input of `feedback` at the first step; zeros where it is not here."""
    frequency: float | None
    """Control steps per second [Hz]."""
    stored: dict[Any, Any] | None = None
    """The contract of the network alone, where the file is a bundle of this program."""

    def model_of(self, file: Path) -> LeappModel | None:
        """The model that lies in `file`."""
        return next((model for model in self.models.values() if model.file.name == file.name), None)

    def check(self, model: LeappModel, data: bytes) -> None:
        """Raise where `data` is not the model that the file was written beside."""
        if (found := hashlib.sha256(data).hexdigest()) != model.sha256:
            raise CheckpointError(
                f"{self.path}: models.{model.name}.parameters.sha256sum is {model.sha256}, but {model.file} has "
                f"{found}: one of the two is of another export. Copy both from one export, or move {self.path.name} "
                "away if the model is meant to be read without it"
            )


def is_leapp(data: Any) -> bool:
    """Whether the plain data of a file are LEAPP's."""
    return isinstance(data, dict) and data.keys() >= _SECTIONS


def beside(file: Path) -> Pipeline | None:
    """The pipeline that a model belongs to, as a YAML in its folder says by the model's name; None without one."""
    named = [path for path in sorted(file.parent.glob("*.y*ml")) if looks_like_leapp(path, file.name)]
    found = {path: data for path in named if is_leapp(data := _data(path))}
    pipelines = [pipeline for path, data in found.items() if (pipeline := read_pipeline(path, data)).model_of(file)]
    if len(pipelines) > 1:
        raise CheckpointError(
            f"{file}: {' and '.join(pipeline.path.name for pipeline in pipelines)} beside it both describe it; keep one"
        )
    return pipelines[0] if pipelines else None


def looks_like_leapp(path: Path, model: str = "") -> bool:
    """Whether a file is LEAPP's and may name a model: what can't be read and would is refused when it is read."""
    if not path.is_file() or path.stat().st_size > _MAX_BYTES:
        return False
    text = read_bytes(path, CheckpointError, what=_WHAT, max_bytes=_MAX_BYTES)
    return all(word in text for word in (b"models", b"pipeline", b"model_path", model.encode()))


def _data(path: Path) -> Any:
    text = read_text(path, CheckpointError, what=_WHAT, max_bytes=_MAX_BYTES)
    return PlainYaml(text, path, CheckpointError, strict=False).data


def read_pipeline(path: Path, data: Any = None) -> Pipeline:
    """Read a YAML of LEAPP, or its plain data that were read already, and the initial values that it names.

    Raises:
        CheckpointError: Naming the key that is missing, contradicts another, or names what is not there.
    """
    data = _data(path) if data is None else data
    if not is_leapp(data):
        raise CheckpointError(f"{path}: has no models and pipeline, so it is no YAML of LEAPP")
    reader = _Reader(path)
    models = {str(name): reader.model(str(name), value) for name, value in reader.mapping(data, "models").items()}
    pipeline = reader.mapping(data, "pipeline")
    flows = [reader.flow(pipeline, key, models) for key in ("data_flow", "feedback_flow")]
    if twice := sorted(flows[0].keys() & flows[1].keys()):
        raise CheckpointError(f"{path}: {twice[0]} is filled by both data_flow and feedback_flow")
    reader.routed(pipeline, models, flows[0] | flows[1])
    configs = pipeline.get("configs") or {}
    frequency = configs.get("frequency") if isinstance(configs, dict) else None
    if frequency is not None and not (isinstance(frequency, int | float) and 0.0 < frequency < float("inf")):
        raise CheckpointError(f"{path}: pipeline.configs.frequency is {frequency!r}, expected a number above 0 [Hz]")
    stored = configs.get(STORED) if isinstance(configs, dict) else None
    if stored is not None and (not isinstance(stored, dict) or NETWORK not in models):
        raise CheckpointError(
            f"{path}: pipeline.configs.{STORED} is the contract of models.{NETWORK}, and "
            + (f"there is none; the models are {', '.join(models)}" if isinstance(stored, dict) else "is no mapping")
        )
    return Pipeline(
        path=path,
        stored=stored,
        models=models,
        data=flows[0],
        feedback=flows[1],
        initial=reader.initial(pipeline.get("initial_values"), flows[1], models),
        frequency=None if frequency is None else float(frequency),
    )


def own_model(pipeline: Pipeline, path: Path, data: bytes) -> LeappModel:
    """The model of a file in its pipeline, after it was held against its checksum; refused where others compute for it.

    Raises:
        CheckpointError: When the file is not the one that the pipeline names, or is only a part of the policy.
    """
    model = pipeline.model_of(path)
    assert model is not None
    pipeline.check(model, data)
    for target, source in pipeline.data.items():
        (before, out), (after, into) = source.split("/", 1), target.split("/", 1)
        if model.name not in (before, after):
            continue
        other = pipeline.models[before if after == model.name else after]
        what = (
            f"{other.file.name} first, whose {out} is its {into}"
            if after == model.name
            else (f"{other.file.name} after it, which reads its {out} as {into}")
        )
        raise CheckpointError(
            f"{path}: is one model of several. {pipeline.path.name} beside it runs {what}; read alone it would be "
            "another policy. Export the policy as one node of LEAPP (one name in annotate.input_tensors and "
            "annotate.output_tensors)"
        )
    return model


class _Reader:
    """Reads parts of a file, and says where they stand when they are not what they must be."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def error(self, where: str, problem: str) -> CheckpointError:
        return CheckpointError(f"{self.path}: key '{where}' {problem}")

    def mapping(self, data: dict[Any, Any], key: str, where: str = "") -> dict[Any, Any]:
        value = data.get(key)
        if not isinstance(value, dict) or (key == "models" and not value):
            raise self.error(f"{where}{key}", f"is {value!r:.60}, expected a mapping that names something")
        return value

    def text(self, data: dict[Any, Any], key: str, where: str) -> str:
        value = data.get(key)
        if not isinstance(value, str) or not value:
            raise self.error(f"{where}.{key}", f"is {value!r:.60}, expected a text")
        return value

    def model(self, name: str, data: Any) -> LeappModel:
        where = f"models.{name}"
        if not isinstance(data, dict):
            raise self.error(where, f"is {data!r:.60}, expected a mapping")
        parameters = self.mapping(data, "parameters", f"{where}.")
        file = self.text(parameters, "model_path", f"{where}.parameters")
        if Path(file).is_absolute() or ".." in Path(file).parts:
            raise self.error(f"{where}.parameters.model_path", f"is {file}, outside the folder of this file")
        tensors = {key: tuple(self.tensors(data, key, where)) for key in ("inputs", "outputs")}
        return LeappModel(
            name=name,
            file=self.path.parent / file,
            sha256=self.text(parameters, "sha256sum", f"{where}.parameters"),
            backend=self.text(parameters, "backend", f"{where}.parameters"),
            inputs=tensors["inputs"],
            outputs=tensors["outputs"],
        )

    def tensors(self, data: dict[Any, Any], key: str, where: str) -> Iterator[LeappTensor]:
        items = data.get(key)
        if not isinstance(items, list) or not all(isinstance(item, dict) for item in items):
            raise self.error(f"{where}.{key}", f"is {items!r:.60}, expected a list of tensors")
        seen: set[str] = set()
        for index, item in enumerate(items):
            place = f"{where}.{key}[{index}]"
            name = self.text(item, "name", place)
            if name in seen:
                raise self.error(place, f"names '{name}' a second time")
            seen.add(name)
            shape = self.shape(item, place)
            yield LeappTensor(
                name=name,
                shape=shape,
                kind=self.text(item, "kind", place) if item.get("kind") is not None else None,
                names=self.names(item.get("element_names"), shape, place),
                connection=self.text(item, "isaaclab_connection", place) if item.get("isaaclab_connection") else None,
                place=place,
            )

    def shape(self, item: dict[Any, Any], place: str) -> tuple[int, ...]:
        shape = item.get("shape")
        if isinstance(shape, str):
            # Earlier versions wrote the list as a text.
            try:
                shape = json.loads(shape)
            except ValueError:
                shape = None
        if not isinstance(shape, list) or not all(type(size) is int and size > 0 for size in shape):
            raise self.error(f"{place}.shape", f"is {item.get('shape')!r:.60}, expected a list of sizes")
        return tuple(shape)

    def names(self, value: Any, shape: tuple[int, ...], place: str) -> tuple[str, ...] | None:
        """The names along the one axis that has some; None where there are none, or where several axes have."""
        if value is None:
            return None
        axes = [[value]] if isinstance(value, str) else value
        if isinstance(axes, list) and axes and all(isinstance(item, str) for item in axes):
            axes = [axes]
        named = [axis for axis in axes if isinstance(axis, list)] if isinstance(axes, list) else []
        if len(named) != 1:
            return None
        names = tuple(map(str, named[0]))
        if len(names) not in shape:
            raise self.error(f"{place}.element_names", f"has {len(names)} names for the shape {list(shape)}")
        if len(set(names)) != len(names):
            twice = next(name for name in names if names.count(name) > 1)
            raise self.error(f"{place}.element_names", f"has '{twice}' twice")
        return names

    def flow(self, pipeline: dict[Any, Any], key: str, models: dict[str, LeappModel]) -> dict[str, str]:
        """The output that fills each input."""
        flow = pipeline.get(key) or {}
        if not isinstance(flow, dict) or not all(isinstance(targets, list) for targets in flow.values()):
            raise self.error(f"pipeline.{key}", "is no mapping from an output to a list of inputs")
        found: dict[str, str] = {}
        for source, targets in flow.items():
            size = self.end(str(source), models, "outputs", key).shape
            for target in map(str, targets):
                other = self.end(target, models, "inputs", key).shape
                if other != size:
                    raise self.error(f"pipeline.{key}", f"leads {source} {list(size)} into {target} {list(other)}")
                if target in found:
                    raise self.error(f"pipeline.{key}", f"fills {target} twice")
                found[target] = str(source)
        return found

    def end(self, name: str, models: dict[str, LeappModel], side: str, key: str) -> LeappTensor:
        model, _, tensor = name.partition("/")
        known = getattr(models[model], side) if model in models else ()
        found = next((item for item in known if item.name == tensor), None)
        if found is None:
            there = [f"{other.name}/{item.name}" for other in models.values() for item in getattr(other, side)]
            raise self.error(
                f"pipeline.{key}",
                f"names {name}, which is none of the {side}{closest(name, there) or '.'} They are {', '.join(there)}",
            )
        return found

    def routed(self, pipeline: dict[Any, Any], models: dict[str, LeappModel], flows: dict[str, str]) -> None:
        """Raise where an input is filled by nothing or twice, or an output goes nowhere, as LEAPP's runtime does."""
        for side, flowing in (("inputs", flows.keys()), ("outputs", set(flows.values()))):
            listed = self.mapping(pipeline, side, "pipeline.")
            for model in models.values():
                names = listed.get(model.name) or []
                if not isinstance(names, list):
                    raise self.error(f"pipeline.{side}.{model.name}", f"is {names!r:.60}, expected a list of names")
                for item in getattr(model, side):
                    outside, inside = item.name in names, f"{model.name}/{item.name}" in flowing
                    if outside != inside or (outside and side == "outputs"):
                        continue
                    how = f"listed in pipeline.{side} and fed by" if outside else f"not in pipeline.{side} and not in"
                    raise self.error(
                        item.place,
                        f"({item.name}) is {how} data_flow or feedback_flow; export it again, the file is incomplete "
                        "or was edited",
                    )

    def initial(self, name: Any, feedback: dict[str, str], models: dict[str, LeappModel]) -> dict[str, NDArray[Any]]:
        """The initial values by input."""
        if name is None:
            return {}
        if not isinstance(name, str) or Path(name).name != name:
            raise self.error("pipeline.initial_values", f"is {name!r:.60}, expected a file in the same folder")
        path = self.path.parent / name
        values = {key: value.numpy() for key, value in read_safetensors(read_bounded(path), str(path)).items()}
        for key, value in values.items():
            if key not in feedback:
                raise CheckpointError(f"{path}: holds {key}, which {self.path.name} names no feedback")
            shape = self.end(key, models, "inputs", "feedback_flow").shape
            if value.shape != shape:
                raise CheckpointError(f"{path}: {key} has the shape {value.shape}, {self.path.name} says {shape}")
        return values
