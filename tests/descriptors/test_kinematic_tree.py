"""Claims about the walks through a robot's tree, held against published lists."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from policy_port.descriptors.kinematic_tree import Link, breadth_first_by_name, depth_first

MAPPINGS = Path(__file__).resolve().parents[2] / "mappings"


def chain(*joints: str, end: tuple[Link, ...] = ()) -> Link:
    """Links one below the other, each named as its joint."""
    first, *rest = joints
    return Link(name=first, joints=(first,), children=(chain(*rest, end=end),) if rest else end)


def leg(side: str, *names: str) -> Link:
    return chain(*(f"{side}_{name}" for name in names))


def finger(side: str, *names: str) -> Link:
    return chain(*(f"{side}_{name}_joint" for name in names))


# The parent relations of Unitree's H1 and G1 (37 joints) and of ANYmal D, as their public descriptions have them; the
# order of siblings is turned round where it must not matter.
H1 = Link(
    name="pelvis",
    children=(
        leg("right", "hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle"),
        leg("left", "hip_yaw", "hip_roll", "hip_pitch", "knee", "ankle"),
        chain(
            "torso",
            end=tuple(leg(s, "shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow") for s in ("left", "right")),
        ),
    ),
)


def g1_arm(side: str) -> Link:
    hand = (finger(side, "zero", "one", "two"), finger(side, "three", "four"), finger(side, "five", "six"))
    arm = ("shoulder_pitch", "shoulder_roll", "shoulder_yaw", "elbow_pitch", "elbow_roll")
    return chain(*(f"{side}_{name}_joint" for name in arm), end=hand)


G1 = Link(
    name="pelvis",
    children=(
        chain("torso_joint", end=(g1_arm("right"), g1_arm("left"))),
        *(
            chain(
                *(
                    f"{side}_{name}_joint"
                    for name in ("hip_pitch", "hip_roll", "hip_yaw", "knee", "ankle_pitch", "ankle_roll")
                )
            )
            for side in ("left", "right")
        ),
    ),
)
ANYMAL_D = Link(name="base", children=tuple(leg(name, "HAA", "HFE", "KFE") for name in ("RH", "LF", "RF", "LH")))


@pytest.mark.parametrize(("tree", "name"), [(H1, "h1"), (G1, "g1"), (ANYMAL_D, "anymal_d")])
def test_isaac_labs_rule_gives_the_published_order(tree: Link, name: str) -> None:
    """Level by level, siblings by name: the lists that Isaac Lab publishes of robots whose files are not at hand."""
    published = yaml.safe_load((MAPPINGS / f"{name}_physx_to_newton.yaml").read_text())
    assert list(breadth_first_by_name((tree,), merge_fixed=True)) == published["source_joint_names"]


def test_depth_first_keeps_the_files_order_of_siblings() -> None:
    """MuJoCo finishes one limb before the next, in the order of the file."""
    tree = Link(name="base", children=(leg("b", "hip", "knee"), leg("a", "hip", "knee")))
    assert depth_first((tree,)) == ("b_hip", "b_knee", "a_hip", "a_knee")
    assert breadth_first_by_name((tree,), merge_fixed=True) == ("a_hip", "b_hip", "a_knee", "b_knee")


def test_a_kept_fixed_link_puts_its_limb_one_level_deeper() -> None:
    """Merged or not, the order may differ; that is why it is told."""
    mount = Link(name="mount", children=(chain("arm"),))
    tree = Link(name="base", children=(mount, chain("hip", "knee")))
    assert breadth_first_by_name((tree,), merge_fixed=True) == ("arm", "hip", "knee")
    assert breadth_first_by_name((tree,), merge_fixed=False)[0] == "hip"


def test_very_deep_trees_are_walked() -> None:
    """A chain of two thousand joints is no trouble."""
    link = Link(name="l0", joints=("j0",))
    for i in range(1, 2000):
        link = Link(name=f"l{i}", joints=(f"j{i}",), children=(link,))
    assert len(depth_first((link,))) == len(breadth_first_by_name((link,), merge_fixed=False)) == 2000
