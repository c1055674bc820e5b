"""What messages of simulators, environments and the arm advise."""

from __future__ import annotations

import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml

from policy_port.contract import Contract, load_contract
from policy_port.resources import assets_dir
from policy_port.robots.arm.robot_file import find_robot_file
from tests.cli.advised.plays import TOY_ON
from tests.cli.advised.trial import Change, Note, Trial, made, without
from tests.cli.test_play_free import write_free_port
from tests.control.networks import save_linear
from tests.plants.test_mjcf_features import arm
from tests.robots.jobs.act_folder import contract_document

REACH = "PolicyPortSO100Reach-v1"
ON = "play arm/port --plant {} --robot {} --seconds 0.1 --goal point=draw --out new"
WALK = f"{TOY_ON} --command 0,0,0 --seconds 0.1"
IN_ENV = "play {} --env {} --episodes 1 --out new"
REAL = "play {} --real --continuous --robot arm.yaml --out new"
UNCALIBRATED = "holds no calibration of all six motors"
"""What stops a run on an arm that is not there, when all that is asked of the command line is right."""
THROUGH = "--through so100_maniskill_to_lerobot"


def other_plant(plant: str, file: str, says: str, better: str = "mujoco") -> Trial:
    """A robot file that one simulator refuses, and the next takes."""
    return Trial(ON.format(plant, file), says, ON.format(better, file))


def no_gpu_library(work: Path, machine: pytest.MonkeyPatch) -> None:
    """Nothing of PhysX lies in the home folder."""
    machine.setenv("HOME", str(work))


def broken(target: str, error: Exception) -> Change:
    """A machine on which something of the libraries fails."""

    def fail(*_: Any, **__: Any) -> None:
        raise error

    return lambda _, machine: machine.setattr(target, fail)


def dying_processes(work: Path, machine: pytest.MonkeyPatch) -> None:
    """Simulators of other processes die as they start."""
    (work / "dying").mkdir()
    code = "import os, sys\nif '--multiprocessing-fork' in sys.orig_argv:\n    os._exit(9)\n"
    (work / "dying/sitecustomize.py").write_text(code)
    machine.setenv("PYTHONPATH", str(work / "dying"))


PLANTS: list[Trial | Note] = [
    other_plant("maniskill", "pairs.xml", "part its shapes into more than 32 kinds"),
    other_plant("maniskill", "vertices.xml", "{}: mesh '{}' has no file of its own, which URDF can't say"),
    Trial(
        ON.format("maniskill", "vertices.xml"),
        "{}: mesh '{}' has no file of its own, which URDF can't say",
        ON.format("maniskill", "vertices.xml") + " --no-meshes",
    ),
    Trial(
        ON.format("maniskill", "rigid.xml").replace("arm/port", "leading"),
        "and SAPIEN can't couple them: {}. Put no fixed joint between",
        ON.format("mujoco", "rigid.xml").replace("arm/port", "leading"),
    ),
    Trial(
        ON.format("newton", "geared.xml").replace("arm/port", "driven"),
        "has a gear, which Newton leaves out; use --plant mujoco",
        ON.format("mujoco", "geared.xml").replace("arm/port", "driven"),
    ),
    Trial(
        ON.format("mujoco", "feet.urdf").replace("arm/port", "falling") + " --no-meshes",
        "or give the meshes and leave out --no-meshes",
        ON.format("mujoco", "feet.urdf").replace("arm/port", "falling"),
    ),
    Trial(
        ON.format("mujoco", "slides.xml").replace("arm/port", "falling"),
        "name the base's joints under only_in_target of a mapping and write base.floating: false",
        ON.format("mujoco", "slides.xml").replace("arm/port", "held_base"),
    ),
    Trial(
        ON.format("mujoco", "odd_mesh.urdf"),
        "can't be read as a mesh ({}); convert it to STL, or leave meshes out with --no-meshes",
        ON.format("mujoco", "odd_mesh.urdf") + " --no-meshes",
    ),
    Trial(
        ON.format("mujoco", "odd_mesh.urdf"),
        "converting it needs trimesh: pip install 'policy-port[sim]', or leave meshes out with --no-meshes",
        ON.format("mujoco", "odd_mesh.urdf") + " --no-meshes",
        before=without("trimesh"),
    ),
    Trial(
        ON.format("maniskill", "arm/arm.xml") + " --sim-backend physx_cuda",
        "copy the file there from another machine, or use --sim-backend physx_cpu",
        ON.format("maniskill", "arm/arm.xml") + " --sim-backend physx_cpu",
        before=no_gpu_library,
    ),
    Trial(
        ON.format("maniskill", "arm/arm.xml") + " --video",
        "SAPIEN found no Vulkan device to draw with ({}); `policy-port doctor`",
        "doctor",
        before=broken("policy_port.plants.maniskill_view.drawing_device", RuntimeError("none")),
    ),
    Trial(
        f"{WALK} --num-envs 2 --processes 2",
        "with --processes 1 the simulator's own message is seen",
        f"{WALK} --num-envs 2 --processes 1",
        before=dying_processes,
    ),
    Trial(
        f"{WALK} --video",
        "--video needs ffmpeg: pip install",
        f"{WALK} --video",
        before=broken("imageio.v2.get_writer", ImportError("no ffmpeg")),
    ),
    Trial(
        f"{WALK} --report", "policy-port verify compares it with the source", "verify toy/port --trace walk/trace.npz"
    ),
]

ENVIRONMENTS: list[Trial | Note] = [
    Trial(
        IN_ENV.format("embedded", REACH),
        "--env needs the Python package {}, which is not installed: pip install 'policy-port[sim]'",
        IN_ENV.format("embedded", REACH),
        before=without("mani_skill.envs"),
    ),
    Trial(
        IN_ENV.format("embedded", REACH),
        "{}: ManiSkill can't start with {}: {}. `policy-port doctor` says",
        "doctor",
        before=broken("gymnasium.make", RuntimeError("no device")),
    ),
    Trial(
        IN_ENV.format("arm/port", REACH),
        "or make a contract of the environment with `policy-port contract import --env {}`",
        f"contract import --env {REACH} --control-mode pd_joint_target_delta_pos --out new",
    ),
    Trial(
        IN_ENV.format("embedded", "SO100GraspCube-v1"),
        "Play another environment, or name the mapping with --through",
        IN_ENV.format("embedded", REACH),
    ),
    Trial(
        IN_ENV.format("panda", "PickCube-v1 --control-mode pd_ee_delta_pos"),
        "Name another controller with --control-mode",
        IN_ENV.format("panda", "PickCube-v1 --control-mode pd_joint_delta_pos"),
    ),
]

ON_THE_ARM: list[Trial | Note] = [
    Trial(
        f"{REAL.format('so100-reach')} --seconds 5",
        "leave --seconds out (the reach task does), or",
        REAL.format("so100-reach"),
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('so100-reach')} --seconds 5",
        "name a ManiSkill task with --env",
        f"{REAL.format('so100-reach')} --env {REACH}",
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('so100-reach')} --seconds 5",
        "and in a run that only --seconds bounds nobody gives it one",
        REAL.format("so100-reach"),
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('free/port')} --seconds 0.001 {THROUGH}",
        "--seconds {} is less than one control step, which is {} s",
        f"{REAL.format('free/port')} --seconds 5 {THROUGH}",
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('free/port')} --seconds 5",
        "what the robot file names as joint_map, such as --through so100_maniskill_to_lerobot",
        f"{REAL.format('free/port')} --seconds 5 {THROUGH}",
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('slow/port')} --seconds 5 {THROUGH} --dataset kept",
        "its run can't be kept with --dataset",
        f"{REAL.format('slow/port')} --seconds 5 {THROUGH}",
        UNCALIBRATED,
    ),
    Trial(
        REAL.format("so100-reach").replace("--continuous ", ""),
        "nobody can press Enter here, and without --continuous",
        REAL.format("so100-reach"),
        UNCALIBRATED,
    ),
    Trial(
        REAL.format("so100-reach").replace("arm.yaml", "so100"),
        "copy it and set `port:` to what lerobot-find-port says, or rehearse with --emulated",
        REAL.format("so100-reach"),
        UNCALIBRATED,
    ),
    Trial(
        f"{REAL.format('so100-reach')} --env {REACH} --control-mode pd_joint_delta_pos",
        "Name the controller that the policy was trained with (--control-mode), or correct the contract",
        f"{REAL.format('so100-reach')} --env {REACH} --control-mode pd_joint_target_delta_pos",
        UNCALIBRATED,
    ),
]

TRIALS: list[Trial | Note] = [*PLANTS, *ENVIRONMENTS, *ON_THE_ARM]


def build(folder: Path) -> None:
    """Robots that one simulator or another can't do, and ports for them."""
    _mjcf(folder)
    _urdf(folder)
    contract = load_contract(folder / "arm/port/contract.yaml").model_dump(mode="json", exclude_none=True)
    bare = {name: {"default": 0.0} for name in contract["joints"]}
    for name, more in (
        ("driven", {"actuation": {"kind": "model"}, "joints": bare}),
        ("falling", {"base": {"floating": True}}),
    ):
        (folder / f"{name}.yaml").write_text(yaml.safe_dump(contract | more, sort_keys=False))
        made(f"export arm/linear.onnx --contract {name}.yaml --format onnx --out {name}")
    base = {name: {"position": 0.0, "stiffness": 500.0, "damping": 20.0} for name in ("x", "y", "z", "rx", "ry", "rz")}
    own_joints = list(contract["joints"])
    mapping = {"source_joint_names": own_joints, "target_joint_names": [*base, *own_joints], "only_in_target": base}
    (folder / "base.yaml").write_text(yaml.safe_dump(mapping))
    with_base = "--contract arm/port/contract.yaml --mapping base.yaml --format onnx --out held_base"
    made(f"remap arm/linear.onnx {with_base}")
    leading = contract | {"joints": {"j1": contract["joints"]["j1"]}}
    (folder / "leading.yaml").write_text(yaml.safe_dump(leading, sort_keys=False))
    save_linear(folder / "one.onnx", np.full((5, 1), 0.1))
    made("export one.onnx --contract leading.yaml --format onnx --out leading")
    own = assets_dir() / "so100_reach"
    made(f"export {own / 'model.pt'} --contract {own / 'contract.yaml'} --format onnx --out embedded")
    made("contract import --env PickCube-v1 --control-mode pd_joint_delta_pos --out panda.yaml")
    read = load_contract(folder / "panda.yaml")
    matrix = np.random.default_rng(0).normal(size=(read.observation_size, read.action_size)) * 0.05
    save_linear(folder / "panda.onnx", matrix)
    made("export panda.onnx --contract panda.yaml --format onnx --out panda")
    write_free_port(folder / "free", Contract.model_validate(contract_document(images=[])))
    slow = contract_document(images=[]) | {"timestep": 0.07, "decimation": 1}
    write_free_port(folder / "slow", Contract.model_validate(slow))
    text = find_robot_file("so100").read_text(encoding="utf-8")
    text = text.replace("port: null", "port: /not/there").replace("calibration_dir: null", "calibration_dir: .")
    (folder / "arm.yaml").write_text(text, encoding="utf-8")


def _mjcf(folder: Path) -> None:
    kinds = range(34)
    near = "".join(f'<geom name="a{i}" size=".001" mass=".001" contype="0" conaffinity="0"/>' for i in kinds)
    far = "".join(f'<geom name="b{i}" size=".001" mass=".001" contype="0" conaffinity="0"/>' for i in kinds)
    pairs = "".join(f'<pair geom1="a{i}" geom2="b{i}"/>' for i in kinds)
    text = arm(base=near, end=f"<contact>{pairs}</contact>")
    place = text.index('<geom name="g2"')
    (folder / "pairs.xml").write_text(text[:place] + far + text[place:])
    axes = {"x": "1 0 0", "y": "0 1 0", "z": "0 0 1"}
    moved = "".join(f'<joint name="{n}" type="slide" axis="{a}" armature="1"/>' for n, a in axes.items())
    turned = "".join(f'<joint name="r{n}" axis="{a}"/>' for n, a in axes.items())
    (folder / "slides.xml").write_text(arm(base=moved + turned))
    mesh = '<asset><mesh name="m" vertex="0 0 0 .1 0 0 0 .1 0 0 0 .1"/></asset>'
    seen = '<geom type="mesh" mesh="m" contype="0" conaffinity="0" mass="0"/>'
    (folder / "vertices.xml").write_text(arm(top=mesh, base=seen))
    line = '<equality><joint joint1="j2" joint2="j1" polycoef="0.1 -1.5 0 0 0"/></equality>'
    rigid = arm(end=line).replace('<body name="l2" ', '<body name="between"><body name="l2" ')
    (folder / "rigid.xml").write_text(
        rigid.replace("</body></body></body></worldbody>", "</body>" * 4 + "</worldbody>")
    )
    drives = "".join(f'<position name="p{j}" joint="{j}" kp="20" gear="2"/>' for j in ("j1", "j2"))
    (folder / "geared.xml").write_text(arm(end=f"<actuator>{drives}</actuator>"))


def _urdf(folder: Path) -> None:
    inertia = (
        '<inertial><mass value="0.5"/><inertia ixx="1e-3" iyy="1e-3" izz="1e-3" ixy="0" ixz="0" iyz="0"/></inertial>'
    )
    joints = "".join(
        f'<joint name="{name}" type="revolute"><parent link="{parent}"/><child link="{child}"/><axis xyz="0 1 0"/>'
        '<limit lower="-2" upper="2" effort="9" velocity="9"/><origin xyz="0.3 0 0"/></joint>'
        for name, parent, child in (("j1", "a", "b"), ("j2", "b", "c"))
    )
    for name, file in (("feet", "foot.stl"), ("odd_mesh", "foot.ply")):
        shape = f'<collision><geometry><mesh filename="{file}"/></geometry></collision>'
        links = "".join(f'<link name="{link}">{inertia}{shape}</link>' for link in "abc")
        (folder / f"{name}.urdf").write_text(f"<robot name='arm'>{links}{joints}</robot>")
    corners = np.array([[0, 0, 0], [0.1, 0, 0], [0, 0.1, 0], [0, 0, 0.1]], dtype="<f4")
    faces = [
        struct.pack("<12fH", 0, 0, 1, *corners[list(face)].ravel(), 0)
        for face in ((0, 2, 1), (0, 1, 3), (0, 3, 2), (1, 2, 3))
    ]
    (folder / "foot.stl").write_bytes(b"\0" * 80 + struct.pack("<I", len(faces)) + b"".join(faces))
    (folder / "foot.ply").write_text("no mesh\n")
