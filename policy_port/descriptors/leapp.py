"""LEAPP's YAML, which Isaac Lab 3 exports beside the model, with env.yaml of the run where it lies beside them.

The YAML says what each input and output is and in which order its joints are; scale, offset, default pose and history
are operations in the model's graph, where they are read.
"""

from __future__ import annotations

from pathlib import Path

from policy_port.checkpoints.files.leapp_yaml import NETWORK, LeappModel, Pipeline, is_leapp, read_pipeline
from policy_port.checkpoints.files.safe_load import read_bounded
from policy_port.checkpoints.onnx.leapp import AROUND, is_plain, taken_apart
from policy_port.checkpoints.onnx.leapp_joined import whole_model
from policy_port.checkpoints.onnx.meanings import QUATERNION, robot_of
from policy_port.checkpoints.onnx.parts import Apart
from policy_port.contract import Contract
from policy_port.descriptors import isaac_lab_env
from policy_port.descriptors.draft import Draft
from policy_port.descriptors.isaac_lab_robot import add_robot
from policy_port.descriptors.leapp_bundle import stored_contract
from policy_port.descriptors.leapp_terms import add_action, add_defaults, add_observation, joint_names
from policy_port.descriptors.options import ImportOptions
from policy_port.descriptors.record import Record
from policy_port.errors import ContractError

MAIN = "LEAPP YAML"
ENV = "env.yaml"
BESIDE = (("params/env.yaml", "../params/env.yaml", "env.yaml"),)
FLAGS = frozenset[str]()

_GAINS = {"kp": "stiffness", "kd": "damping"}


def role(record: Record) -> str | None:
    """What the file is to this importer."""
    if is_leapp(record.data):
        return MAIN
    return ENV if {"sim", "scene", "decimation"} <= set(record.data) else None


def whole_contract(records: dict[str, Record]) -> tuple[Contract | None, Path | None]:
    """The contract that a bundle of this program holds, and its network's file; None for any other file."""
    record = records.get(MAIN)
    pipeline = None if record is None else read_pipeline(record.path)
    if pipeline is None or (contract := stored_contract(pipeline)) is None:
        return None, None
    return contract, pipeline.models[NETWORK].file


def read(records: dict[str, Record], options: ImportOptions) -> Draft:
    """Draft a contract."""
    record = records[MAIN]
    pipeline = read_pipeline(record.path)
    model = _model(pipeline, options)
    file = model.file
    pipeline, model, data, joined = whole_model(pipeline, file, read_bounded(file), AROUND)
    if is_plain(model, pipeline):
        raise ContractError(
            f"{record.path}: says of its input {model.inputs[0].name} and its output {model.outputs[0].name} how many "
            "numbers they have and not what these are (no kind, no element_names), so no contract can be made of it. "
            "Annotate them with TensorSemantics when exporting, or write the contract by hand, beginning with "
            "examples/ of this project; the model itself is read by inspect, export and remap"
        )
    parts, _ = taken_apart(pipeline, model, data)
    draft = Draft(str(record.path))
    draft.policy = file
    for note in joined:
        draft.note(note)
    if any(item.connection for item in model.inputs):
        draft.put("trained_in", "Isaac Lab", f"{record.path.name}: isaaclab_connection")
    else:
        draft.lacks("trained_in", "the file names no simulator")
    names = joint_names(parts, record.path)
    draft.joints(names, f"{record.path.name}: element_names")
    add_defaults(parts, draft)
    _gains(parts, records.get(ENV), draft)
    add_action(parts, options, draft)
    add_observation(parts, options, draft)
    _rates(pipeline, records.get(ENV), robot_of(model), options, draft)
    _notes(pipeline, parts, draft)
    return draft


def _model(pipeline: Pipeline, options: ImportOptions) -> LeappModel:
    """The model that is the policy."""
    chosen = pipeline.model_of(options.policy) if options.policy is not None else None
    models = [chosen] if chosen is not None else list(pipeline.models.values())
    joined = {name.partition("/")[0] for pair in pipeline.data.items() for name in pair}
    if len(models) > 1 and not joined:
        raise ContractError(
            f"{pipeline.path}: holds several models that have nothing to do with each other: "
            f"{', '.join(model.file.name for model in models)}. Say which with --policy FILE"
        )
    model = models[-1]
    if model.backend != "onnx":
        raise ContractError(
            f"{pipeline.path}: models.{model.name} is exported as {model.backend}; only ONNX is taken apart. Export it "
            "with export_with='onnx' (Isaac Lab: export_method onnx-dynamo, its default)"
        )
    return model


def _gains(parts: Apart, env: Record | None, draft: Draft) -> None:
    """Stiffness and damping by joint name; where a joint has neither, the exporter did not know them."""
    values: dict[str, dict[str, float]] = {"kp": {}, "kd": {}}
    sources: dict[str, str] = {}
    for item, numbers in parts.gains:
        if item.names is None or len(item.names) != len(numbers):
            raise ContractError(f"{draft.origin}: {item.place} ({item.name}) does not name the joints of its gains")
        if strange := [name for name in item.names if name not in draft.joint_names]:
            where = f"{draft.origin}: {item.place} ({item.name})"
            raise ContractError(f"{where} names '{strange[0]}', which is no joint of the policy")
        for name, number in zip(item.names, map(float, numbers), strict=True):
            values[str(item.kind)][name] = float(f"{number:.7g}")
        sources[str(item.kind)] = f"{parts.model.file.name}: {item.name}"
    driven = [name for name in draft.joint_names if any(gains.get(name) for gains in values.values())]
    for kind, key in _GAINS.items():
        if pairs := {name: values[kind][name] for name in driven if name in values[kind]}:
            draft.per_joint(key, pairs, sources[kind])
    left = [name for name in draft.joint_names if name not in driven and name in values["kp"] | values["kd"]]
    if left and env is None:
        which = "every joint" if len(left) == len(draft.joint_names) else ", ".join(left)
        draft.note(
            f"{parts.model.file.name}: its kp and kd are 0 for {which}, which drives nothing: the exporter did not "
            "know the gains of their actuators. They are left out; params/env.yaml of the run has them, or give "
            "--set joints.*.stiffness=NUMBER and --set joints.*.damping=NUMBER"
        )


def _rates(pipeline: Pipeline, env: Record | None, robot: str, options: ImportOptions, draft: Draft) -> None:
    """The control period, and of env.yaml the physics and the actuators."""
    key = f"{pipeline.path.name}: pipeline.configs.frequency"
    if env is not None:
        sim = env.section("sim")
        draft.put("timestep", sim.number("dt"), sim.source("dt"))
        draft.put("decimation", env.integer("decimation"), env.source("decimation"))
        period = sim.number("dt") * env.integer("decimation")
        if pipeline.frequency is not None and abs(period * pipeline.frequency - 1.0) > 1e-6:
            raise env.error(
                "decimation",
                f"times sim.dt is a control period of {period:g} s, but {key} is {pipeline.frequency:g} Hz; the two "
                "files are of different runs",
            )
        if env.section("scene").has(robot):
            add_robot(env, robot, options, draft)
        isaac_lab_env.add_commands(env, draft)
    elif pipeline.frequency is not None:
        draft.control_dt = (1.0 / pipeline.frequency, key)
    if env is None:
        draft.lacks("actuation.kind", "only env.yaml of the run names the actuator model")


def _notes(pipeline: Pipeline, parts: Apart, draft: Draft) -> None:
    orders = {known.order for known in parts.meanings.values() if known.term == QUATERNION and known.order}
    if orders and "quaternion_order" not in draft.data:
        draft.put("quaternion_order", orders.pop(), f"{pipeline.path.name}: element_names")
    for why in parts.whole:
        draft.note(f"{parts.model.file.name}: the graph is used as it is, since {why}")
    if parts.unused:
        draft.note(f"{pipeline.path.name}: outputs that are no joint target and not used: {', '.join(parts.unused)}")
    if parts.carried:
        draft.note(f"{pipeline.path.name}: {', '.join(parts.carried)} are fed back inside the network, as its state")
    for name in parts.last_action:
        start = pipeline.initial.get(f"{parts.model.name}/{name}")
        if start is not None and start.any():
            draft.note(
                f"{pipeline.path.name}: {name} begins with numbers other than 0 (pipeline.initial_values); a "
                "contract's last_action is zero at reset"
            )
