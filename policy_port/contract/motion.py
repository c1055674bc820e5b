"""How a policy follows a reference motion: which link it compares, how clip and robot are aligned, what comes after."""

from __future__ import annotations

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from policy_port.contract.yaml_file import Strict

Vector = tuple[float, float, float]


class ChainLink(Strict):
    """One step on the way from the base link to the anchor: where a link stands in its parent, and what turns it."""

    link: str
    """Name of the link."""
    offset: Vector = (0.0, 0.0, 0.0)
    """Its origin in the parent's frame [m]."""
    quat: tuple[float, float, float, float] = (1.0, 0.0, 0.0, 0.0)
    """Its orientation in the parent's frame at joint position 0, wxyz."""
    joint: str | None = None
    """The hinge that turns it, a joint of the contract; none where it is fixed."""
    axis: Vector = (0.0, 0.0, 1.0)
    """The hinge's axis in the link's own frame, a unit vector."""

    @model_validator(mode="after")
    def _of_unit_length(self) -> ChainLink:
        for key, value in (("quat", self.quat), ("axis", self.axis)):
            length = math.sqrt(sum(number * number for number in value))
            if abs(length - 1.0) > 1e-3:
                raise ValueError(f"{key} of link '{self.link}' has length {length:.4g}; expected 1")
        return self


Rate = Annotated[float, Field(gt=0.0, le=10_000.0)]
"""Frames per second."""


class ClipFiles(Strict):
    """What clip files of the policy's project don't say by themselves; a file that says it is held against this."""

    rate: Rate | None = None
    """Frames per second."""
    quaternion_order: Literal["wxyz", "xyzw"] | None = None
    """Order of the quaternions in the file."""
    joints: tuple[str, ...] | None = None
    """Names of the joint columns, in the file's order."""
    links: tuple[str, ...] | None = None
    """Names of the links whose poses a file holds, in its order; the first one is the root."""


class Following(Strict):
    """What the terms of a reference motion mean. The clip itself is no part of a contract; it lies in the port."""

    anchor: str | None = None
    """The link whose pose is compared with the reference's; needed where a term compares it."""
    chain: tuple[ChainLink, ...] = ()
    """From the base link's first child to the anchor, of the robot that the policy was trained on; empty where the
    anchor is the base link."""
    align: Literal["none", "yaw", "yaw_and_position"]
    """At reset the reference is turned about the vertical, and moved in the plane, so that its anchor stands as the
    robot's; none: it is taken as the clip has it."""
    end: Literal["hold", "repeat", "stop"]
    """After the last frame: stay there with joint velocities as recorded, begin again, or the episode is over."""
    rate: Rate | None = None
    """Frames per second that the policy was trained with; one frame per control step, if not given."""
    files: ClipFiles = ClipFiles()
    """What clip files don't say."""

    @model_validator(mode="after")
    def _chain_leads_to_the_anchor(self) -> Following:
        if self.chain and self.chain[-1].link != self.anchor:
            raise ValueError(f"chain ends at link '{self.chain[-1].link}', the anchor is '{self.anchor}'")
        return self
