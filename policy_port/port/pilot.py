"""A ported policy and the parsing that it is flown in, as plain data that another process can open."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

import onnx

from policy_port.contract.mapping import RobotMapping
from policy_port.contract.spec import Contract
from policy_port.errors import MappingError
from policy_port.motion.motion import Motion
from policy_port.port.chunks import Chunking
from policy_port.port.format import metadata
from policy_port.port.runtime import OnnxPolicy, Policy, RemappedPolicy, read_graph
from policy_port.remap import Remap, build_remap
from policy_port.remap.motion import target_motion


@dataclass(frozen=True, kw_only=True)
class Pilot:
    """An ONNX file, its contract, and the remap to the simulator's parsing where that is another one."""

    onnx: Path
    """The port's graph."""
    network_contract: Contract
    """Contract of the graph's inputs and outputs."""
    made_with: RobotMapping | None = None
    """The mapping that the port was made with; None where that is not known or there is none."""
    held: Mapping[Path, bytes] = field(default_factory=dict, repr=False)
    """Bytes of graphs that were checked, by file: those of `onnx` run where they are here, else it is read."""
    torchscript: Path | None = None
    """The same network as TorchScript, which runs on a GPU; None where the port holds none."""
    folded: bytes | None = field(default=None, repr=False)
    """The graph folded, out of the port's deploy.onnx, for the control loop's one call; None where there is none."""
    motion: Motion | None = None
    """The clip that the policy follows, in the simulator's parsing."""
    checkpoint_sha256: str | None = None
    """SHA-256 of the checkpoint that was ported, where that is known."""
    learned_on: str | None = None
    """SHA-256 of the calibration of the arm under whose dynamics it was trained, where that is known."""
    remap: Remap | None = None
    """From the graph's parsing to the simulator's; None where they are the same."""

    flown_through: RobotMapping | None = None
    """The mapping whose source parsing the simulator or arm has; None where it speaks the graph's."""

    @property
    def contract(self) -> Contract:
        """The contract that the simulator has to fulfil."""
        return self.network_contract if self.remap is None else self.remap.target

    @property
    def content(self) -> bytes:
        """The bytes of the graph that runs.

        Raises:
            PortError: When they are not held and the file can't be read.
        """
        return self.held[self.onnx] if self.onnx in self.held else read_graph(self.onnx)

    def open(self, num_envs: int = 1) -> Policy:
        """Load the graph for `num_envs` environments; the policy speaks `contract`.

        A policy that sees has `policy.images`: per step, fill `policy.observation`, show each camera's frame
        (`policy.images["front"].show(frame)`: uint8 RGB, shape (height, width, 3), or with num_envs in front), then
        `policy.act()`.

        Raises:
            PortError: When the graph can't be loaded, or its images are not the contract's.
        """
        policy = OnnxPolicy(self.onnx, num_envs, self.network_contract.images, self.content)
        policy.folded = self.folded
        return policy if self.remap is None else RemappedPolicy(policy, self.remap)

    def chunking(self) -> Chunking | None:
        """How the policy's chunks are performed; None for a policy that answers with one action.

        Raises:
            PortError: When the graph does not say how.
        """
        return Chunking.of(metadata(onnx.load_model_from_string(self.content)), self.onnx)

    def through(self, mapping: RobotMapping) -> Pilot:
        """The same policy in the parsing that `mapping` starts from.

        Args:
            mapping: The mapping that the policy was ported with: from the simulator's parsing to the port's.

        Raises:
            MappingError: When the mapping does not end at the port's parsing, says something else of a joint than
                the one that the port was made with, or can't be turned round.
        """
        names = self.network_contract.joint_names
        if names != mapping.target_joint_names:
            turned = (
                " It starts there: this port already speaks the simulator's side"
                if (names == mapping.source_joint_names)
                else ""
            )
            raise MappingError(
                f"the port's joints are {', '.join(names)}, the mapping leads to "
                f"{', '.join(mapping.target_joint_names)}.{turned} Give the mapping that the policy was ported with"
            )
        differ = [] if self.made_with is None else self.made_with.disagreements(mapping)
        if differ:
            raise MappingError(
                f"the port was made with another mapping than this one: {'; '.join(differ)} (port against given). "
                "Where the given one is right, make the port again with it"
            )
        back = mapping.inverse()
        return replace(
            self,
            flown_through=mapping,
            remap=build_remap(self.network_contract, back),
            motion=None if self.motion is None else target_motion(self.motion, back),
        )
