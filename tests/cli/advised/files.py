"""What messages about policy files, contracts and ports advise: inspect, export, remap, verify, diagnose and map."""

from __future__ import annotations

import itertools
import json
import shutil
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from onnx import helper

from policy_port.closed_loop import search
from policy_port.contract import Contract
from tests.checkpoints import written
from tests.checkpoints.libraries import sb3_files, test_actor_mean, test_stated
from tests.checkpoints.onnx import test_file, test_roles
from tests.checkpoints.onnx.test_cut import save as save_graph
from tests.checkpoints.torchscript.test_widths import Slices, saved
from tests.cli.advised.plays import ARM_ON
from tests.cli.advised.trial import Note, Trial, made, without
from tests.export.test_shared_oracles import contract_of
from tests.samples import contract_data

EXPORT = "export clean.pt --contract contract.yaml --format onnx --out new"
STATED = "export {} --contract {} --format onnx --out new"
GROWN = STATED.format("grown.pt", "contract.yaml")
STATISTICS = "Name the right one with --statistics FILE, or say --statistics none"
LAYOUT = "{}: a {} file of a layout that none of {} writes. It holds {}. If you know the library, say --from"
CARRY = "{}: the state {} {} can't be carried on by {} {}, which has another shape"
WIDTH = "Say it with --width to inspect, or with the right contract to export"
PLAY_ARM = "--plant mujoco --robot arm/arm.xml --seconds 0.1 --goal point=draw --out new"
ADVICE = "Write the port again with `policy-port remap` or `export`, or copy it again from where it came"
EXPORT_ARM = "export arm/linear.onnx --contract arm/port/contract.yaml --format onnx --out new"


def few_guesses(_: Path, machine: pytest.MonkeyPatch) -> None:
    """A search that is over soon: what is said at its end does not depend on what it finds."""
    every = search.guesses
    machine.setattr(search, "guesses", lambda *given: itertools.islice(every(*given), 2))


LOADED: list[Trial | Note] = [
    Note("inspect clean.pt --activation relu", "activation {} by --activation"),
    Note("inspect ckpt_5.pt --activation relu", "activation: --activation"),
    Trial("inspect run.zip", STATISTICS, "inspect run.zip --statistics right.pkl"),
    Trial("inspect run.zip", STATISTICS, "inspect run.zip --statistics none"),
    Note("inspect run.zip --statistics right.pkl", "as --statistics says"),
    Note("inspect run.zip --statistics none", "no statistics, as --statistics none says"),
    Trial(
        "inspect denied/model_1.pt",
        "the configuration belongs to another run. Give the run's own with --agent",
        "inspect denied/model_1.pt --agent owned/params/agent.yaml",
    ),
    Trial(
        "inspect owned/model_1.pt --teacher",
        "it is no distillation checkpoint, so leave --teacher out",
        "inspect owned/model_1.pt",
    ),
    Trial(
        "inspect which.onnx --output mu --activation elu",
        "means nothing to a file of {}, only to those of",
        "inspect which.onnx --output mu",
    ),
    Trial(f"{EXPORT} --agent owned/params/agent.yaml", "means nothing to a file of {}, only to those of", EXPORT),
    Trial(f"{GROWN} --ignore '*'", "--ignore '{}': would ignore whatever there is", f"{GROWN} --ignore estimator"),
    Trial(f"{GROWN} --ignore estimater", "' matches nothing that the actor leaves out", f"{GROWN} --ignore estimator"),
    Trial(GROWN, "--ignore '{}'", f"{GROWN} --ignore estimator"),
    Note(f"{GROWN} --ignore estimator", "ignored as --ignore says: {}"),
    Trial("inspect grown.pt", "where the policy does not need them, export says how to", GROWN, "--ignore 'estimator'"),
    Note("inspect clean.pt --from cleanrl", "--from {}"),
    Trial("inspect odd.pt", LAYOUT, "inspect odd.pt --from cleanrl", "it is not of CleanRL's ppo script"),
    Trial(
        "inspect final_ckpt.pt", "{}: could be {}. Say which with --from {}", "inspect final_ckpt.pt --from maniskill"
    ),
    Trial("inspect final_ckpt.pt", " or --from ", "inspect final_ckpt.pt --from cleanrl"),
    Note("inspect toy/linear.onnx --width 47", "{}: reads observations of width {}; --width says {}"),
    Trial(
        "inspect which.onnx", "is the action is unclear. Say it with --output OUTPUT", "inspect which.onnx --output mu"
    ),
    Trial(
        "inspect which.onnx --output mo",
        "{}: --output {}: there is no output {}{} Its outputs are {}",
        "inspect which.onnx --output mu",
    ),
    Trial(
        "inspect lstm.onnx --output b=y",
        "{}: which output carries on the state {} is unclear; the outputs are",
        "inspect lstm.onnx --output b=y --output a=x",
    ),
    Trial(
        "inspect lstm.onnx --output b=y --output aa=x",
        "{}: --output {}={}: there is no state {}{} Its states are {}",
        "inspect lstm.onnx --output b=y --output a=x",
    ),
    Trial("inspect lstm.onnx --output b=x --output a=x", CARRY, "inspect lstm.onnx --output b=y --output a=x"),
    Trial("inspect slices.pt", WIDTH, "inspect slices.pt --width 47"),
    Trial("inspect slices.pt", WIDTH, STATED.format("slices.pt", "reads_47.yaml")),
    Trial(
        "inspect slices.pt --width 5",
        ", and {}, which the contract or --width says, is none of them",
        "inspect slices.pt --width 12",
    ),
    Note("inspect slices.pt --width 12", "{} is what the contract or --width says"),
    Trial("inspect many.pt", "and {} more (--json lists them)", "inspect many.pt --json"),
    Trial(
        "contract check contract.yaml --policy odd.pt",
        "leave --policy out: `policy-port export` takes them, and holds the widths against the contract too",
        "contract check contract.yaml",
    ),
    Trial(
        "contract check contract.yaml --policy final_ckpt.pt",
        "leave --policy out: `policy-port export` takes them, and holds the widths against the contract too",
        f"{STATED.format('final_ckpt.pt', 'contract.yaml')} --from maniskill",
    ),
]

PROBED: list[Trial | Note] = [
    Trial(
        "inspect clean.pt --contract contract.yaml",
        "--contract goes with --probe, which holds the network against it",
        "inspect clean.pt --contract contract.yaml --probe",
    ),
    Trial(
        "inspect clean.pt --probe",
        "{}: --probe holds a network against its contract, and this is no port",
        "inspect clean.pt --probe --contract contract.yaml",
    ),
    Trial(
        "inspect toy/port --probe --contract toy/port/contract.yaml",
        "probe the file in it: policy-port inspect {} --probe --contract {}",
        "inspect toy/port/policy.onnx --probe --contract toy/port/contract.yaml",
    ),
    Trial(
        "inspect roots.onnx --probe --contract contract.yaml",
        "look at the normaliser and the weights with `policy-port inspect`",
        "inspect roots.onnx",
    ),
    Trial("verify toy/port", "verify needs a --trace of the source", "verify toy/port --trace walk/trace.npz"),
    Trial("verify toy/port", "verify needs a --trace of the source", "inspect toy/port --probe"),
    Trial(
        "verify mirror_port --trace unsigned.npz",
        "and a trace is the source's unless --side says",
        "verify mirror_port --trace unsigned.npz --side port",
    ),
    Note("verify degrees/port --trace held/trace.npz --side source", "as --side says"),
    Trial(
        "map show degrees/terms.yaml",
        "--source CONTRACT shows where each goes",
        "map show degrees/terms.yaml --source toy/port/contract.yaml",
    ),
    Trial(
        "compare held renamed",
        "Give the mapping between the two with --mapping",
        "compare held renamed --mapping rename.yaml",
    ),
    Trial(
        "diagnose arm/port --plant mujoco --robot arm/arm.xml",
        ", or name the reach task with --task so100-reach",
        "diagnose arm/port --plant mujoco --robot arm/arm.xml --task so100-reach",
        "the reach task runs at 20 Hz",
    ),
]

WRITTEN: list[Trial | Note] = [
    Trial(
        "remap tanh.onnx --contract arm/port/contract.yaml --mapping degrees/map.yaml --fold --out new",
        "can't be folded into the weights: {} stands {} layer and {}. Leave out --fold",
        "remap tanh.onnx --contract arm/port/contract.yaml --mapping degrees/map.yaml --out new",
    ),
    Trial(
        "export seen.onnx --contract seen.yaml --out new --format onnx --deploy",
        "{}: its control step can't be one graph: {}. Leave out --deploy",
        "export seen.onnx --contract seen.yaml --out new --format onnx",
    ),
    *(
        Trial(
            f"export {name}.onnx --contract {name}.yaml --out new",
            says,
            f"export {name}.onnx --contract {name}.yaml --out new --format onnx",
        )
        for name, says in (
            ("three", "state tensors ({}), TorchScript ports hold two at most; export it with --format onnx"),
            ("seen", "the network has both images and a memory, which TorchScript ports don't hold"),
            ("named", "can't all be names of arguments in TorchScript; export it with --format onnx"),
        )
    ),
    Trial(f"play torn/port {PLAY_ARM}", ADVICE, EXPORT_ARM),
    Trial(f"play torn/port {PLAY_ARM}", ADVICE, EXPORT_ARM.replace("export", "remap") + " --mapping degrees/map.yaml"),
    Trial(f"play arm {PLAY_ARM}", "{}: is missing, so this is no port. `policy-port remap` and `export`", EXPORT_ARM),
    Trial(
        "regress broken/toy.regress.yaml",
        "{}: this baseline can't be read ({}); write it again with --update",
        "regress broken/toy.regress.yaml --update",
    ),
    Trial(
        "regress toy/toy.regress.yaml --ray",
        "--ray needs Ray, which is not installed: pip install",
        "regress toy/toy.regress.yaml --ray",
        "no Ray cluster answers",
        without("ray"),
    ),
    Trial(
        "diagnose toy/port --plant mujoco --robot toy/toy.xml --seconds 1",
        "with a trace, `policy-port diagnose PORT --trace T` compares numbers instead",
        "diagnose toy/port --trace walk/trace.npz",
        before=few_guesses,
    ),
    Trial(
        "regress older/toy.regress.yaml",
        "{}: was written by another version of policy-port; write it again with --update",
        "regress older/toy.regress.yaml --update",
    ),
]

TRIALS: list[Trial | Note] = [*LOADED, *PROBED, *WRITTEN]


def build(folder: Path) -> None:
    """Policy files that leave something open, damaged ports and baselines."""
    write_checkpoints(folder)
    write_graphs(folder)
    contract = contract_data(observation={"terms": [{"term": "external", "name": "all", "size": 47}]})
    (folder / "reads_47.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    shutil.copytree(folder / "arm", folder / "torn")
    (folder / "torn/port/contract.yaml").write_text("torn")
    mapping = yaml.safe_load((folder / "degrees/map.yaml").read_text())
    toy = Contract.model_validate(yaml.safe_load((folder / "toy/port/contract.yaml").read_text()))
    names = list(toy.joint_names)
    terms = {"source_joint_names": names, "target_joint_names": names, "terms": {"joint_vel": {"scale": 2.0}}}
    (folder / "degrees/terms.yaml").write_text(yaml.safe_dump(terms))
    renamed = mapping | {"target_joint_names": ["a1", "a2"], "joints": {}, "match": "position"}
    (folder / "rename.yaml").write_text(yaml.safe_dump(renamed))
    (folder / "renamed.xml").write_text((folder / "arm/arm.xml").read_text().replace('"j', '"a'))
    line = (
        "remap arm/linear.onnx --contract arm/port/contract.yaml --mapping rename.yaml --format onnx --out renamed_port"
    )
    made(line)
    at = ARM_ON.replace("arm/port", "renamed_port").replace("arm/arm.xml", "renamed.xml").replace("new", "renamed")
    made(f"{at} --seconds 1 --goal point=0,0,0.1")
    mirror = mapping | {"joints": {"j1": {"sign": -1}}}
    (folder / "mirror.yaml").write_text(yaml.safe_dump(mirror))
    made(line.replace("rename.yaml", "mirror.yaml").replace("renamed_port", "mirror_port"))
    with zipfile.ZipFile(folder / "held/trace.npz") as trace, zipfile.ZipFile(folder / "unsigned.npz", "w") as bare:
        for name in trace.namelist():
            told = trace.read(name)
            if name == "header.json":
                told = json.dumps({k: v for k, v in json.loads(told).items() if "sha256" not in k}).encode()
            bare.writestr(name, told)
    for name, about in (("broken", "{"), ("older", '{"baseline_version": 0}')):
        shutil.copytree(folder / "toy", folder / name)
        (folder / name / "toy.baselines").mkdir()
        (folder / name / "toy.baselines/walk.json").write_text(about)
        np.savez(folder / name / "toy.baselines/walk.npz", a=np.zeros(1))


def write_checkpoints(folder: Path) -> None:
    test_actor_mean.checkpoint(folder / "clean.pt", [8, 16, 16, 4])
    clean = torch.load(folder / "clean.pt", weights_only=True)
    written.save({**clean, "estimator.0.weight": torch.ones(3, 8)}, folder / "grown.pt")
    many = {f"part{i}.weight": torch.ones(2) for i in range(20)}
    written.save({**clean, **many}, folder / "many.pt")
    written.save({"weights": {"w": torch.ones(4, 8)}}, folder / "odd.pt")
    test_actor_mean.checkpoint(folder / "final_ckpt.pt", [8, 16, 16, 4])
    rng = written.generator()
    actor = {
        **written.linears("backbone", [9, 16, 16], rng),
        **{f"{name}.weight": torch.randn(4, 16, generator=rng) for name in ("fc_mean", "fc_logstd")},
        **{f"{name}.bias": torch.zeros(4) for name in ("fc_mean", "fc_logstd")},
    }
    written.save({"actor": actor, "qf1": {}, "log_alpha": torch.zeros(1)}, folder / "ckpt_5.pt")
    test_stated.rsl_rl_2(folder / "denied", place="inside", empirical_normalization=False)
    test_stated.rsl_rl_2(folder / "owned", place="inside", empirical_normalization=True)
    saved(folder / "slices.pt", Slices(47))
    with pytest.MonkeyPatch.context() as pickling:
        kinds = sb3_files.classes(pickling)
        space = kinds["Box"](low=sb3_files.LOW, high=sb3_files.HIGH)
        sb3_files.checkpoint(folder / "run.zip", sb3_files.ppo(), space, num_timesteps=91, n_envs=8)
        for name in ("right.pkl", "other_vecnormalize_64000_steps.pkl"):
            sb3_files.statistics(folder / name, kinds)


def write_graphs(folder: Path) -> None:
    test_roles.network(folder / "which.onnx", "mu", "latent", "value")
    test_roles.lstm(folder / "lstm.onnx", ("a", "x"), ("b", "y"), through=True)
    nodes = [
        helper.make_node("Tanh", ["obs"], ["bounded"]),
        helper.make_node("Gemm", ["bounded", "w", "b"], ["mu"], transB=1),
    ]
    weights = {"w": np.ones((2, 7), np.float32), "b": np.zeros(2, np.float32)}
    roots = [
        helper.make_node("Gemm", ["obs", "w", "b"], ["inner"], transB=1),
        helper.make_node("Sqrt", ["inner"], ["mu"]),
    ]
    eight = {"w": np.ones((4, 8), np.float32), "b": np.zeros(4, np.float32)}
    save_graph(folder / "roots.onnx", roots, eight, {"obs": ["batch", 8]}, {"mu": ["batch", 4]})
    _remembering(folder, "three", memories=3)
    _remembering(folder, "seen", memories=1, image="rgb")
    _remembering(folder, "named", memories=0, image="class")
    save_graph(folder / "tanh.onnx", nodes, weights, {"obs": ["batch", 7]}, {"mu": ["batch", 2]})


def _remembering(folder: Path, name: str, *, memories: int, image: str | None = None) -> None:
    """A network from obs (9), and an image of 8 x 8, through GRUs of 8 to 3 actions, and its contract."""
    nodes, arrays, last = [], {"w": test_file.weights(3, 9), "b": test_file.weights(3)}, "obs"
    inputs: dict[str, list[int | str]] = {"obs": ["batch", 9]}
    outputs: dict[str, list[int | str]] = {"mu": ["batch", 3]}
    if image is not None:
        inputs[image] = ["batch", 3, 8, 8]
        arrays |= {"cw": test_file.weights(4, 3, 8, 8), "fw": test_file.weights(9, 13), "fb": test_file.weights(9)}
        nodes += [
            helper.make_node("Conv", [image, "cw"], ["seen"]),
            helper.make_node("Flatten", ["seen"], ["flat"]),
            helper.make_node("Concat", ["obs", "flat"], ["both"], axis=1),
            helper.make_node("Gemm", ["both", "fw", "fb"], ["joined"], transB=1),
        ]
        last = "joined"
    for i in range(memories):
        arrays |= {"zero": np.array([0], np.int64), "two": np.array([0, 1], np.int64)}
        arrays |= {f"w{i}": test_file.weights(1, 27, 9), f"r{i}": test_file.weights(1, 27, 9)}
        arrays[f"b{i}"] = test_file.weights(1, 54)
        inputs[f"h{i}_in"] = outputs[f"h{i}_out"] = [1, "batch", 9]
        nodes += [
            helper.make_node("Unsqueeze", [last, "zero"], [f"s{i}"]),
            helper.make_node(
                "GRU",
                [f"s{i}", f"w{i}", f"r{i}", f"b{i}", "", f"h{i}_in"],
                [f"Y{i}", f"h{i}_out"],
                hidden_size=9,
                linear_before_reset=1,
            ),
            helper.make_node("Squeeze", [f"Y{i}", "two"], [f"f{i}"]),
        ]
        last = f"f{i}"
    nodes.append(helper.make_node("Gemm", [last, "w", "b"], ["mu"], transB=1))
    save_graph(folder / f"{name}.onnx", nodes, arrays, inputs, outputs)
    size = {"height": 8, "width": 8, "channels": 3, "layout": "nchw", "dtype": "float32", "scale": 1.0}
    images = [] if image is None else [{"name": image, **size}]
    (folder / f"{name}.yaml").write_text(contract_of(9, 3, images=images).to_yaml())
