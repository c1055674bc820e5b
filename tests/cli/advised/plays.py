"""What messages of play, export and suites advise, and those of compare, map and contract about their options."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import torch
import yaml

from tests.cli.advised.trial import Trial, made
from tests.cli.test_play_held import ARM, POINT, make_port
from tests.regress.toy import write_toy
from tests.samples import contract_data

SCAN = {"term": "external", "name": "scan", "size": 2}


LINK = (
    '<link name="{}"><inertial><mass value="0.5"/><inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/>\
</inertial><visual><geometry><mesh filename="not_here.stl"/></geometry></visual></link>'
)
JOINT = '<joint name="{}" type="revolute"><parent link="{}"/><child link="{}"/><axis xyz="0 1 0"/>\
<limit lower="-2" upper="2" effort="9" velocity="9"/><origin xyz="0.3 0 0"/></joint>'
JOINTS = JOINT.format("j1", "a", "b") + JOINT.format("j2", "b", "c")
MESH = f"<robot name='arm'>{''.join(map(LINK.format, 'abc'))}{JOINTS}</robot>"


ARM_ON = "play arm/port --plant mujoco --robot arm/arm.xml --out new"
TOY_ON = "play toy/port --plant mujoco --robot toy/toy.xml --out new"
SCAN_ON = "play scan/port --plant mujoco --robot scan/arm.xml --out new"
EXPORT = "export model.pt --contract contract.yaml --format onnx --out new"

DEGREES = "play degrees/port --plant mujoco --robot degrees/arm.xml --seconds 0.1 --goal point=draw --out new"

TRIALS = [
    # From a velocity command to a run of an arm.
    Trial(f"{ARM_ON} --command 0,0,0", "leave --command out and say how long", f"{ARM_ON} --seconds 1", "reads goal"),
    Trial(f"{ARM_ON} --seconds 0.1", "holds these numbers", f"{ARM_ON} --seconds 0.1 --goal point=0,0,0.1"),
    Trial(f"{ARM_ON} --seconds 0.1", "holds these numbers", f"{ARM_ON} --seconds 0.1 --goal point=draw"),
    Trial(f"{TOY_ON} --seconds 0.1", "say which with", f"{TOY_ON} --seconds 0.1 --command 0.5,0,0"),
    Trial(f"{SCAN_ON} --seconds 0.1", "play it with --env", f"{SCAN_ON} --seconds 0.1 --goal scan=2*0.5"),
    Trial(
        f"{ARM_ON} --seconds 0.1 --goal point=0,0,0.1 --episodes 3",
        "--episodes out, or draw a goal",
        f"{ARM_ON} --seconds 0.1 --goal point=0,0,0.1",
    ),
    Trial(
        f"{ARM_ON} --seconds 0.1 --goal point=0,0,0.1 --episodes 3",
        "--episodes out, or draw a goal",
        f"{ARM_ON} --seconds 0.1 --goal point=draw --episodes 3",
    ),
    Trial(ARM_ON, "--seconds alone for a policy", f"{ARM_ON} --seconds 0.1", "reads goal"),
    Trial(TOY_ON, "give exactly one of --command (walk)", f"{TOY_ON} --command 0,0,0 --seconds 0.1"),
    Trial(
        f"{TOY_ON} --command 0,0 --seconds 0.1",
        "--command takes three numbers such as",
        f"{TOY_ON} --command 0.5,0,0 --seconds 0.1",
    ),
    Trial(
        f"{TOY_ON} --command 0,0,inf --seconds 0.1",
        "--command takes finite numbers",
        f"{TOY_ON} --command 0,0,1 --seconds 0.1",
    ),
    Trial(f"{ARM_ON} --seconds 1 --goal point", "--goal takes NAME=", f"{ARM_ON} --seconds 0.1 --goal point=1,2,3"),
    Trial(
        f"{ARM_ON} --seconds 1 --goal point=a",
        "finite numbers such as",
        f"{ARM_ON} --seconds 0.1 --goal point=0.3,0,0.2",
    ),
    Trial(
        f"{ARM_ON} --seconds 1 --goal point=draw --goal point=draw",
        "--goal {} is given twice; give it once",
        f"{ARM_ON} --seconds 0.1 --goal point=draw",
    ),
    Trial(
        f"{ARM_ON} --seconds 0 --goal point=draw",
        "--seconds takes a finite length above 0",
        f"{ARM_ON} --seconds 0.1 --goal point=draw",
    ),
    Trial(
        f"{TOY_ON} --command 0,0,0 --seconds 0.1 --processes 2",
        "needs as many environments: give --num-envs",
        f"{TOY_ON} --command 0,0,0 --seconds 0.1 --processes 2 --num-envs 2",
    ),
    Trial(
        f"{TOY_ON} --task so100-reach --seconds 1",
        "does not go with --task",
        f"{TOY_ON} --task so100-reach",
        "the reach task commands a point",
    ),
    Trial(
        f"{TOY_ON} --supervisor so100",
        "--supervisor goes with --task",
        f"{TOY_ON} --task so100-reach --supervisor so100",
        "the reach task commands a point",
    ),
    Trial(
        f"{TOY_ON} --command 0,0,0 --emulated",
        "--fault, --fast, --stops and --dataset go with --real",
        f"{TOY_ON} --command 0,0,0 --emulated --real",
        "does not go with --real",
    ),
    Trial(
        "play toy/port --plant mujoco --robot toy/toy.xml --command 0,0,0 --seconds 0.1 --out full",
        "replace it with --force",
        "play toy/port --plant mujoco --robot toy/toy.xml --command 0,0,0 --seconds 0.1 --out full --force",
    ),
    Trial(
        "play toy/port --plant mujoco --robot nonesuch --command 0,0,0 --seconds 0.1 --out new",
        "Give --robot (in a suite, robot:) a URDF or MJCF file",
        "play toy/port --plant mujoco --robot toy/toy.xml --command 0,0,0 --seconds 0.1 --out new",
    ),
    # Ports.
    Trial(EXPORT, "or say --activation", f"{EXPORT} --activation elu"),
    Trial(f"{EXPORT} --activation elu --from rls_rl", "--from {}: unknown", f"{EXPORT} --activation elu --from rsl_rl"),
    Trial(
        f"{EXPORT} --activation elu --from sb3",
        "--from {} does not fit",
        f"{EXPORT} --activation elu --from rsl_rl",
    ),
    Trial(f"{EXPORT.replace('new', 'full')} --activation elu", "with --force", f"{EXPORT} --activation elu --force"),
    Trial(
        "play bare --plant mujoco --robot toy/toy.xml --command 0,0,0 --out new",
        "export it with --format onnx. Only a",
        "export toy/linear.onnx --contract toy/port/contract.yaml --format onnx --out new",
    ),
    Trial(
        "verify bare --trace walk/trace.npz",
        "run its other one with --engine",
        "verify bare --trace walk/trace.npz --engine torchscript",
    ),
    Trial(
        "diagnose arm/port --plant mujoco --robot arm/arm.xml",
        "hold it against a trace of its source (--trace for",
        "diagnose arm/port --trace held/trace.npz --robot arm/arm.xml",
        "goes with --plant",
    ),
    Trial(
        DEGREES,
        "pass the mapping between the two with --through",
        f"{DEGREES} --through degrees/map.yaml",
    ),
    # Robots.
    Trial(
        "play arm/port --plant newton --robot ref.xml --seconds 0.1 --goal point=draw --out new",
        "from which Newton counts and others do not; use --plant mujoco",
        "play arm/port --plant mujoco --robot ref.xml --seconds 0.1 --goal point=draw --out new",
    ),
    Trial(
        "play arm/port --plant maniskill --robot wet.xml --seconds 0.1 --goal point=draw --out new",
        "SAPIEN has no such thing. Take it out of the file, or use --plant mujoco",
        "play arm/port --plant mujoco --robot wet.xml --seconds 0.1 --goal point=draw --out new",
    ),
    Trial(
        "play arm/port --plant maniskill --robot mesh.urdf --seconds 0.1 --goal point=draw --out new",
        "or leave all meshes out with --no-meshes",
        "play arm/port --plant maniskill --robot mesh.urdf --seconds 0.1 --goal point=draw --out new --no-meshes",
    ),
    # Suites.
    Trial(
        "regress toy/toy.regress.yaml",
        "write it: policy-port regress {} --update",
        "regress toy/toy.regress.yaml --update",
    ),
    # Mappings and comparisons.
    Trial(
        "map derive --robot arm/arm.xml --out new",
        "--robot needs --from-order and --to-order",
        "map derive --robot arm/arm.xml --from-order mujoco --to-order newton --out new",
    ),
    Trial("map derive --out new", "give either --robot FILE", "map derive --names a.yaml b.yaml --out new", "renames"),
    Trial(
        "map derive --names a.yaml b.yaml --out new",
        "take them all with --accept-proposals",
        "map derive --names a.yaml b.yaml --out new --accept-proposals",
    ),
    Trial(
        "map derive --names a.yaml b.yaml --from-order mujoco --accept-proposals --out new",
        "go with --robot: lists of names",
        "map derive --names a.yaml b.yaml --out new --accept-proposals",
    ),
    Trial(
        "map derive --robot arm/arm.xml --from-order mujoco --to-order newton --out new --accept-proposals",
        "--accept-proposals goes with --names",
        "map derive --robot arm/arm.xml --from-order mujoco --to-order newton --out new",
    ),
    Trial(
        "map derive --names a.yaml b.yaml --out a.yaml --accept-proposals",
        "exists; name another file, or replace it",
        "map derive --names a.yaml b.yaml --out new --accept-proposals",
    ),
    Trial("compare walk", "give two runs or more", "compare walk walk"),
    Trial("compare walk walk --report", "--report goes with --out", "compare walk walk --report --out new"),
    Trial("compare walk walk --name a --name a", "a --name of its own", "compare walk walk --name a --name b"),
    Trial("compare --tag PP", "--tag takes TAG=RUN", "compare --tag PP=walk", "the matrix needs"),
    Trial(
        "compare --tag PP=walk --tag PP=walk",
        "--tag {} is given twice",
        "compare --tag PP=walk --tag PN=walk --tag NN=walk --tag NP=walk",
    ),
    Trial(
        "compare --tag PP=walk",
        "the matrix needs --tag PP=RUN",
        "compare --tag PP=walk --tag PN=walk --tag NN=walk --tag NP=walk",
    ),
    Trial("compare model.pt walk", "A run is a folder that", "compare walk walk"),
    # Contracts.
    Trial(
        "contract import --from isaac_labb --out new a.yaml",
        "--from {}: unknown",
        "contract import --out new a.yaml",
        "no descriptor",
    ),
    Trial("contract import --out new", "name its file or folder", "contract import --out new a.yaml", "no descriptor"),
    Trial(
        "contract import --from rl_sar --out new a.yaml",
        "Leave --from out, or name another kind",
        "contract import --out new a.yaml",
        "is no descriptor of a known kind",
    ),
    Trial(
        "contract import a.yaml --env X-v1 --out new",
        "a ManiSkill environment is read by itself",
        "contract import a.yaml --out new",
        "no descriptor",
    ),
    Trial(
        "contract import a.yaml --out a.yaml",
        "exists; name another file",
        "contract import a.yaml --out new",
        "no desc",
    ),
]


def build(folder: Path) -> None:
    """Ports, runs and lists that trials name."""
    for name, terms in (("arm", (POINT,)), ("scan", (SCAN,))):
        (folder / name).mkdir()
        make_port(folder / name, *terms)
    (folder / "toy").mkdir()
    write_toy(folder / "toy", "walk", expect={"open_loop": {"steps": 5}})
    contract = contract_data(
        observation={"terms": [{"term": "joint_pos_rel"}, {"term": "joint_vel"}]}, base={"floating": False}
    )
    (folder / "contract.yaml").write_text(yaml.safe_dump(contract, sort_keys=False))
    torch.manual_seed(0)
    tensors: dict[str, Any] = {}
    for layer, (rows, columns) in zip((0, 2), ((8, 8), (4, 8)), strict=True):
        tensors[f"mlp.{layer}.weight"], tensors[f"mlp.{layer}.bias"] = torch.randn(rows, columns), torch.randn(rows)
    tensors["distribution.std_param"] = torch.ones(4)
    critic = {"mlp.0.weight": torch.zeros(1, 8), "mlp.0.bias": torch.zeros(1)}
    saved = {"actor_state_dict": tensors, "critic_state_dict": critic, "optimizer_state_dict": {}, "iter": 0}
    torch.save({**saved, "infos": None}, folder / "model.pt")
    (folder / "a.yaml").write_text("joint_names: [left_hip_joint, left_knee_joint]\n")
    (folder / "b.yaml").write_text("joint_names: [left_hip, left_knee]\n")
    (folder / "ref.xml").write_text(ARM.replace('name="j1"', 'name="j1" ref="5"'))
    (folder / "wet.xml").write_text(ARM.replace("<worldbody>", '<option density="1000"/><worldbody>'))
    (folder / "mesh.urdf").write_text(MESH)
    (folder / "degrees").mkdir()
    shutil.copy(folder / "arm" / "arm.xml", folder / "degrees")
    names, degrees = ["j1", "j2"], {"j1": {"unit": "deg"}, "j2": {"unit": "deg"}}
    mapping = {"source_joint_names": names, "target_joint_names": names, "joints": degrees}
    (folder / "degrees" / "map.yaml").write_text(yaml.safe_dump(mapping))
    (folder / "full").mkdir()
    (folder / "full" / "metrics.json").write_text('{"metrics": {}}')
    made("export toy/linear.onnx --contract toy/port/contract.yaml --format torchscript --out bare")
    made(f"{TOY_ON.replace('new', 'walk')} --command 0.5,0,0 --seconds 1")
    made(f"{ARM_ON.replace('new', 'held')} --seconds 1 --goal point=0,0,0.1")
    of = "remap arm/linear.onnx --contract arm/port/contract.yaml --mapping degrees/map.yaml"
    made(f"{of} --format onnx --out degrees/port")
