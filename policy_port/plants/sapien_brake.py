"""Coulomb friction of a joint in SAPIEN, by a brake of bounded effort: PhysX's own grows with the load on the joint."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import sapien
    from sapien import physx

STICKING = 1e6
"""Gain by which a joint under friction is stopped [N m s/rad or N s/m]: what bounds it is the friction."""


def brake(scene: sapien.Scene, joint: physx.PhysxArticulationJoint) -> physx.PhysxDriveComponent:
    """A brake on a joint, still without effort."""
    return scene.create_drive(joint.parent_link, joint.pose_in_parent, joint.child_link, joint.pose_in_child)


def set_brake(
    made: physx.PhysxDriveComponent, joint: physx.PhysxArticulationJoint, friction: float, timestep: float
) -> None:
    """Let a brake resist with `friction` [N m or N] under this physics timestep [s]."""
    tell = made.set_drive_property_twist if joint.type.startswith("revolute") else made.set_drive_property_x
    # PhysX bounds such a drive by its impulse in a step.
    tell(0.0, STICKING, friction * timestep, "force")
