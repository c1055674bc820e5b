"""Claims about the joint orders of robot files, each asked of the parser itself."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from policy_port.descriptors.joint_orders import derive_mapping, joint_order
from policy_port.errors import MissingDependencyError, RobotError

MJCF = """
<mujoco model="toy">
  <worldbody>
    <body name="floor_lamp"/>
    <body name="base"><freejoint name="float"/><geom size="0.1"/>
      <body name="right"><joint name="r_hip"/><geom size="0.1"/>
        <body name="right_low"><joint name="r_knee" type="slide"/><geom size="0.1"/></body></body>
      <body name="left"><joint name="l_hip"/><geom size="0.1"/>
        <body name="left_low"><joint name="l_knee"/><geom size="0.1"/></body></body>
    </body>
  </worldbody>
</mujoco>
"""


def urdf(*joints: tuple[str, str, str, str]) -> str:
    """A URDF of (joint, type, parent, child)."""
    links = dict.fromkeys(name for _, _, parent, child in joints for name in (parent, child))
    inertia = '<inertial><mass value="1"/><inertia ixx="1" iyy="1" izz="1" ixy="0" ixz="0" iyz="0"/></inertial>'
    shape = '<visual><geometry><mesh filename="package://x/none.stl"/></geometry></visual>'
    parts = [f'<link name="{name}">{inertia}{shape}</link>' for name in links]
    parts += [
        f'<joint name="{name}" type="{kind}"><parent link="{parent}"/><child link="{child}"/><axis xyz="0 0 1"/>'
        '<limit lower="-1" upper="1" effort="1" velocity="1"/></joint>'
        for name, kind, parent, child in joints
    ]
    return f'<robot name="toy">{"".join(parts)}</robot>'


TWO_LEGS = urdf(
    ("r_hip", "revolute", "base", "right"),
    ("r_knee", "prismatic", "right", "right_low"),
    ("l_hip", "revolute", "base", "left"),
    ("l_knee", "revolute", "left", "left_low"),
)


def order(path: Path, name: str) -> tuple[str, ...]:
    try:
        return joint_order(path, name).names
    except MissingDependencyError as cause:
        pytest.skip(str(cause))


@pytest.mark.parametrize(
    ("parser", "names"),
    [
        ("mujoco", ("r_hip", "r_knee", "l_hip", "l_knee")),
        ("newton", ("r_hip", "r_knee", "l_hip", "l_knee")),
        ("sapien", ("r_hip", "l_hip", "r_knee", "l_knee")),
        ("isaaclab", ("l_hip", "r_hip", "l_knee", "r_knee")),
    ],
)
def test_one_urdf_has_an_order_in_each_simulator(tmp_path: Path, parser: str, names: tuple[str, ...]) -> None:
    """Depth-first, breadth-first in file order, breadth-first by name; missing meshes don't matter."""
    path = tmp_path / "toy.urdf"
    path.write_text(TWO_LEGS)
    assert order(path, parser) == names


def test_mjcf_is_read_without_its_floating_base(tmp_path: Path) -> None:
    """A free joint is no joint of the order; MuJoCo's own compiled model agrees."""
    mujoco = pytest.importorskip("mujoco")
    path = tmp_path / "toy.xml"
    path.write_text(MJCF)
    assert order(path, "mujoco") == ("r_hip", "r_knee", "l_hip", "l_knee")
    assert order(path, "isaaclab") == ("l_hip", "r_hip", "l_knee", "r_knee")
    model = mujoco.MjModel.from_xml_path(str(path))
    movable = [model.joint(i).name for i in range(model.njnt) if model.jnt_type[i] != 0]
    assert order(path, "mujoco") == tuple(movable)


def test_usd_is_read_by_newton_and_ordered_for_isaac_lab(tmp_path: Path) -> None:
    """Newton reads USD; Isaac Lab's rule is applied to its tree; MuJoCo and SAPIEN are named as the wrong ones."""
    pytest.importorskip("newton")
    pxr = pytest.importorskip("pxr")
    path = tmp_path / "toy.usda"
    write_usd(pxr, path)
    assert order(path, "isaaclab") == ("l_hip", "r_hip", "l_knee", "r_knee")
    assert set(order(path, "newton")) == {"l_hip", "r_hip", "l_knee", "r_knee"}
    with pytest.raises(RobotError, match="mujoco does not read USD"):
        joint_order(path, "mujoco")


def write_usd(pxr: object, path: Path) -> None:
    """The two-legged toy as a USD stage."""
    from pxr import Usd, UsdGeom, UsdPhysics

    stage = Usd.Stage.CreateNew(str(path))
    root = UsdGeom.Xform.Define(stage, "/toy").GetPrim()
    stage.SetDefaultPrim(root)
    for name in ("base", "right", "right_low", "left", "left_low"):
        body = UsdGeom.Xform.Define(stage, f"/toy/{name}").GetPrim()
        UsdPhysics.RigidBodyAPI.Apply(body)
        UsdPhysics.MassAPI.Apply(body).CreateMassAttr(1.0)
    UsdPhysics.ArticulationRootAPI.Apply(stage.GetPrimAtPath("/toy"))
    for name, parent, child in (
        ("r_hip", "base", "right"),
        ("r_knee", "right", "right_low"),
        ("l_hip", "base", "left"),
        ("l_knee", "left", "left_low"),
    ):
        joint = UsdPhysics.RevoluteJoint.Define(stage, f"/toy/joints/{name}")
        joint.CreateBody0Rel().SetTargets([f"/toy/{parent}"])
        joint.CreateBody1Rel().SetTargets([f"/toy/{child}"])
        joint.CreateAxisAttr("Z")
    stage.Save()


def test_merged_or_kept_fixed_joints_are_told_where_it_matters(tmp_path: Path) -> None:
    """A limb behind a fixed mount is one level deeper when the mount is kept; both orders are said."""
    path = tmp_path / "toy.urdf"
    path.write_text(
        urdf(
            ("mount", "fixed", "base", "a_mount"),
            ("arm", "revolute", "a_mount", "arm_link"),
            ("hip", "revolute", "base", "hip_link"),
        )
    )
    found = joint_order(path, "isaaclab")
    assert found.names == ("arm", "hip")
    assert "With kept ones it would be: hip, arm" in found.note


def test_a_mapping_is_written_from_the_two_orders(tmp_path: Path) -> None:
    """The mapping names both sides and lists both orders."""
    path = tmp_path / "toy.urdf"
    path.write_text(TWO_LEGS)
    mapping, notes = derive_mapping(path, "isaaclab", "mujoco")
    assert mapping.source_joint_names == ("l_hip", "r_hip", "l_knee", "r_knee")
    assert mapping.target_joint_names == ("r_hip", "r_knee", "l_hip", "l_knee")
    assert mapping.source is not None
    assert mapping.source.startswith("Isaac Lab on PhysX")
    assert not notes


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("toy.urdf", "<robot/>", "SAPIEN can't read it|no hinge or slide joints|can't read it"),
        ("toy.urdf", "not xml", "is no URDF"),
        ("toy.xml", "<mujoco><worldbody><body name='b'/></worldbody></mujoco>", "has no hinge or slide joints"),
        ("toy.xml", "<mujoco", "MuJoCo can't read it"),
        (
            "toy.xml",
            "<mujoco><worldbody><body name='b'><joint name='j' type='ball'/></body></worldbody></mujoco>",
            "ball joint j is three joints in one",
        ),
    ],
)
def test_a_file_that_holds_no_order_says_why(tmp_path: Path, name: str, text: str, message: str) -> None:
    """Bad robot files are messages that name the file."""
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(RobotError, match=message) as caught:
        joint_order(path, "mujoco")
    assert str(caught.value).startswith(str(path))


def test_sapiens_order_of_an_mjcf_is_its_plants(tmp_path: Path) -> None:
    """What play reads, derive reads: joints breadth-first, through bodies without a joint."""
    pytest.importorskip("sapien")
    from policy_port.plants.registry import make_plant
    from policy_port.plants.setup import JointSetup, PlantSetup

    def body(name: str, inside: str = "", joint: str | None = "") -> str:
        moves = f'<joint name="{name}_joint" axis="0 1 0"/>' if joint == "" else ""
        return f'<body name="{name}" pos="0 0 .2">{moves}<geom size=".05" mass="1"/>{inside}</body>'

    path = tmp_path / "tree.xml"
    legs = body("left", body("mount", body("toe"), joint=None) + body("heel")) + body("right", body("knee"))
    path.write_text(f"<mujoco><worldbody>{body('base', legs, joint=None)}</worldbody></mujoco>")
    found = joint_order(path, "sapien").names
    setup = PlantSetup(
        joints=tuple(JointSetup(name=name, default=0.0, stiffness=1.0, damping=1.0) for name in found),
        actuation="implicit",
        timestep=0.002,
        control_dt=0.02,
        floating=False,
    )
    plant = make_plant("maniskill", path, setup)
    assert found == plant.joint_names
    assert found != joint_order(path, "mujoco").names
    plant.close()


@pytest.mark.parametrize(
    ("inside", "says"),
    [
        ('<joint name="a" axis="1 0 0"/><joint name="b" axis="0 1 0"/>', "body 'x' has 2 joints"),
        ('<joint axis="1 0 0"/>', "joint 1 of body 'x' has no name: name it in the file"),
    ],
)
def test_an_mjcf_that_has_no_order_in_sapien_says_why(tmp_path: Path, inside: str, says: str) -> None:
    """As the plant does."""
    path = tmp_path / "odd.xml"
    path.write_text(f'<mujoco><worldbody><body name="x">{inside}<geom size=".1"/></body></worldbody></mujoco>')
    with pytest.raises(RobotError, match=says):
        joint_order(path, "sapien")


def published(shared: Path, policy: str) -> list[str]:
    catalogue = yaml.safe_load((shared / "real_policies/catalogue.yaml").read_text())
    return next(entry["joint_order"] for entry in catalogue["policies"] if entry["id"] == policy)


@pytest.mark.shared
@pytest.mark.parametrize(
    ("robot", "parser", "policy"),
    [
        ("anymal_c/anymal_c.urdf", "isaaclab", "newton_assets_physx_anymal"),
        ("anymal_c/anymal_c.xml", "isaaclab", "newton_assets_physx_anymal"),
        ("go2/go2.urdf", "isaaclab", "newton_assets_physx_go2"),
        ("go2/go2.xml", "isaaclab", "newton_assets_physx_go2"),
        ("go2/go2.urdf", "mujoco", "newton_assets_mjw_go2"),
        ("go2/go2.xml", "mujoco", "newton_assets_mjw_go2"),
        ("go2/go2.xml", "newton", "newton_assets_mjw_go2"),
        ("go2/go2.urdf", "newton", "newton_assets_mjw_go2"),
        ("g1_29dof/g1_29dof.xml", "isaaclab", "unitree_rl_lab_g1_29dof"),
        ("g1_29dof/g1_29dof_rev_1_0.urdf", "isaaclab", "unitree_rl_lab_g1_29dof"),
        ("g1_12dof/g1_12dof.xml", "mujoco", "unitree_rl_gym_g1_12dof"),
        ("g1_12dof/g1_12dof.urdf", "mujoco", "unitree_rl_gym_g1_12dof"),
        ("g1_12dof/g1_12dof.urdf", "newton", "unitree_rl_gym_g1_12dof"),
        ("go1/go1.xml", "mujoco", "mujoco_playground_go1"),
    ],
)
def test_real_robots_have_the_orders_their_policies_were_trained_in(
    shared: Path, robot: str, parser: str, policy: str
) -> None:
    """The order that the parser gives of the robot's file is the catalogue's of a policy trained there."""
    assert list(order(shared / "real_policies/robots" / robot, parser)) == published(shared, policy)


@pytest.mark.shared
def test_anymal_has_three_orders_in_three_parsers(shared: Path) -> None:
    """Legs in file order by limb, in file order by level, by name by level; the robot's file has LF, RF, LH, RH."""
    path = shared / "real_policies/robots/anymal_c/anymal_c.urdf"
    legs = {
        parser: [name for name in order(path, parser) if "HAA" in name] for parser in ("mujoco", "sapien", "isaaclab")
    }
    assert legs["mujoco"] == legs["sapien"] == ["LF_HAA", "RF_HAA", "LH_HAA", "RH_HAA"]
    assert legs["isaaclab"] == ["LF_HAA", "LH_HAA", "RF_HAA", "RH_HAA"]
    assert order(path, "mujoco")[:3] == ("LF_HAA", "LF_HFE", "LF_KFE")
    assert order(path, "sapien")[4:6] == ("LF_HFE", "RF_HFE")


@pytest.mark.shared
@pytest.mark.parametrize("name", ["anymal_d", "go2", "g1", "h1"])
def test_the_shipped_mappings_are_the_published_lists(shared: Path, name: str) -> None:
    """What the tests of the tree walk hold on to is what Isaac Lab published."""
    facts = yaml.safe_load((shared / f"facts/joint_orders/physx_to_newton_{name}.yaml").read_text())
    shipped = Path(__file__).resolve().parents[2] / f"mappings/{name}_physx_to_newton.yaml"
    kept = yaml.safe_load(shipped.read_text())
    assert {key: kept[key] for key in facts} == facts
