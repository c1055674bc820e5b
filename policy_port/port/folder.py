"""A port: the folder that `remap` and `export` write, and that everything later runs from."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from policy_port.contract import Contract, RobotMapping, load_contract, load_mapping
from policy_port.errors import PortError, one_line
from policy_port.motion.motion import Motion
from policy_port.motion.read import unpacked
from policy_port.plain_yaml import text_of
from policy_port.port import whose
from policy_port.port.deployed import DeployGraph, DeploySample
from policy_port.port.folded import network_in
from policy_port.port.format import (
    CHUNK,
    CONTRACT,
    DEPLOY,
    DEPLOY_SAMPLE,
    LEARNED_ON,
    MAPPING,
    MOTION,
    ONNX,
    PARITY,
    POLICY,
    SAMPLE,
    SOURCE_CONTRACT,
    TORCHSCRIPT,
    constants,
)
from policy_port.port.manifest import MAX_BYTES, check_manifest
from policy_port.port.pilot import Pilot
from policy_port.port.sample import RunFile, Sample, run_file


@dataclass(frozen=True, kw_only=True, eq=False)
class Port:
    """A port folder that was checked."""

    path: Path
    """The folder."""
    contract: Contract
    """What the ported policy reads and writes: the target's side."""
    source_contract: Contract
    """What the weights were trained with."""
    mapping: RobotMapping | None
    """The mapping between the two; None for an export without a remap."""
    onnx: Path | None
    """The ONNX file; None when it was not asked for."""
    torchscript: Path | None
    """The TorchScript file; None when it was not asked for."""
    manifest: dict[str, Any]
    """Sums and provenance."""
    parity: dict[str, Any]
    """The parity report."""
    sample: Sample
    """The stored rollout, which was replayed."""
    motion: Motion | None = None
    """The clip that the policy follows, where one lies in the port."""
    held: Mapping[str, bytes] = field(repr=False)
    """The bytes of every file by its name, as they were when they were held against the manifest; these run."""

    @property
    def chunk(self) -> int | None:
        """Number of steps of one answer; None for a policy that answers with one action."""
        return self.manifest[POLICY].get(CHUNK)

    def pilot(self, through: RobotMapping | None = None) -> Pilot:
        """The policy, ready to be flown in a loop: `port.pilot().open()`.

        Args:
            through: The mapping that the port was made with, to fly in the parsing that it starts from; None to fly in
                the port's own.

        Raises:
            PortError: When the port holds no ONNX file.
            MappingError: When the port was not made with that mapping; see `Pilot.through`.
        """
        if self.onnx is None:
            raise PortError(
                f"{self.path}: holds no ONNX file, which is what is played; export it with --format onnx. Only a "
                "policy whose recurrent state does not start at zero is refused there, and can't be played"
            )
        pilot = Pilot(
            onnx=self.onnx,
            torchscript=self.torchscript,
            held={file: self.held[file.name] for file in (self.onnx, self.torchscript) if file is not None},
            folded=network_in(self.held[DEPLOY]) if DEPLOY in self.held else None,
            checkpoint_sha256=source if isinstance(source := self.manifest[POLICY].get("sha256"), str) else None,
            learned_on=arm if isinstance(arm := self.manifest[POLICY].get(LEARNED_ON), str) else None,
            network_contract=self.contract,
            made_with=self.mapping,
            motion=self.motion,
        )
        return pilot if through is None else pilot.through(through)

    def run(self, file: Path) -> RunFile:
        """Open one of the port's networks, `onnx` or `torchscript`, from the bytes that were checked."""
        return run_file(file, self.held[file.name])

    def moved(self, path: Path) -> Port:
        """The same port after its folder was renamed to `path`."""
        return replace(
            self,
            path=path,
            onnx=self.onnx and path / self.onnx.name,
            torchscript=self.torchscript and path / self.torchscript.name,
        )


def load_port(path: Path | str, *, whole: bool = False) -> Port:
    """Read a port, hold every file against the manifest and all of them against one another, and replay the sample.

    Args:
        path: The folder.
        whole: Replay the sample on TorchScript beside ONNX too.

    Raises:
        PortError: When a file is missing, changed, unknown or another policy's, a weight is not finite, or the sample
            comes out differently.
        CheckpointError: When TorchScript that is replayed does not load, or does more than a network has need of.
    """
    folder = Path(path)
    manifest, held = check_manifest(folder)
    for name in (CONTRACT, SOURCE_CONTRACT, PARITY, SAMPLE):
        if name not in held:
            raise PortError(f"{folder / name}: is missing, so this is no port that this version writes")
    onnx = folder / ONNX if ONNX in held else None
    torchscript = folder / TORCHSCRIPT if TORCHSCRIPT in held else None
    port = Port(
        path=folder,
        contract=load_contract(folder / CONTRACT, held[CONTRACT]),
        source_contract=load_contract(folder / SOURCE_CONTRACT, held[SOURCE_CONTRACT]),
        mapping=load_mapping(folder / MAPPING, held[MAPPING]) if MAPPING in held else None,
        onnx=onnx,
        torchscript=torchscript,
        manifest=manifest,
        parity=_read_report(folder / PARITY, held[PARITY]),
        sample=Sample.load(folder / SAMPLE, held[SAMPLE]),
        motion=unpacked(folder / MOTION, held[MOTION]) if MOTION in held else None,
        held=held,
    )
    if not (onnx or torchscript):
        raise PortError(f"{folder}: holds neither {ONNX} nor {TORCHSCRIPT}")
    for name in (ONNX, DEPLOY):
        if name in held:
            _check_onnx(folder / name, held[name])
    said = whose.said_by(folder, held)
    whose.check_contracts(folder, port.contract, said)
    whose.check_source(folder, port.contract, port.source_contract, port.mapping)
    whose.check_checkpoint(folder, manifest, port.parity, said)
    whose.check_parity(folder, port.parity, port.contract, port.source_contract)
    whose.check_motion(folder, held, said)
    whose.check_answers(folder, held, port.sample, torchscript=whole)
    if DEPLOY in held:
        _check_deploy(folder / DEPLOY, held)
    return port


def _check_deploy(path: Path, held: Mapping[str, bytes]) -> None:
    """Replay a deploy graph's own sample."""
    sample = path.parent / DEPLOY_SAMPLE
    if DEPLOY_SAMPLE not in held:
        raise PortError(f"{sample}: is missing beside {DEPLOY}; export the port again")
    text = text_of(held[DEPLOY_SAMPLE], sample, PortError, what="a deploy graph's sample")
    DeploySample.read(sample, text).check(DeployGraph(path, held[DEPLOY]), sample)


def _read_report(path: Path, data: bytes) -> dict[str, Any]:
    if len(data) > MAX_BYTES:
        raise PortError(f"{path}: more than {MAX_BYTES} bytes are too many for a parity report; is it the right one?")
    text = text_of(data, path, PortError, what="a parity report")
    try:
        report = json.loads(text)
    except (ValueError, RecursionError) as cause:
        raise PortError(f"{path}: is no JSON: {one_line(cause)}") from None
    if not isinstance(report, dict):
        raise PortError(f"{path}: is no parity report but a {type(report).__name__}; export the policy again")
    return report


def _check_onnx(path: Path, data: bytes) -> None:
    import numpy as np
    import onnx

    # External data is left where it is: a port's file has none, and a path in it may lead anywhere.
    try:
        model = onnx.load_model_from_string(data)
        outside = any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer)
        weights = {} if outside else constants(model.graph)
    except Exception as cause:
        # Protobuf and ONNX raise classes of their own that share no base but Exception.
        raise PortError(f"{path}: is no ONNX model, or a damaged one: {one_line(cause)}") from None
    if outside:
        raise PortError(f"{path}: keeps weights in another file, which a port never does; export it again")
    for name, value in weights.items():
        if not np.isfinite(value).all():
            raise PortError(f"{path}: weight '{name}' holds NaN or infinity; the policy was broken before its export")
