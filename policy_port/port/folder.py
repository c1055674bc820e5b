"""A port: the folder that `remap` and `export` write, and that everything later runs from."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from policy_port.contract import Contract, RobotMapping, load_contract, load_mapping
from policy_port.errors import PortError
from policy_port.port.manifest import check_manifest
from policy_port.port.sample import Sample, onnx_runner, torchscript_runner

TORCHSCRIPT = "policy.pt"
ONNX = "policy.onnx"
CONTRACT = "contract.yaml"
SOURCE_CONTRACT = "source_contract.yaml"
MAPPING = "mapping.yaml"
PARITY = "parity.json"
SAMPLE = "sample.npz"


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

    @property
    def chunk(self) -> int | None:
        """Number of steps of one answer; None for a policy that answers with one action."""
        return self.manifest["policy"].get("chunk")

    def moved(self, path: Path) -> Port:
        """The same port after its folder was renamed to `path`."""
        return replace(
            self,
            path=path,
            onnx=self.onnx and path / self.onnx.name,
            torchscript=self.torchscript and path / self.torchscript.name,
        )


def load_port(path: Path | str) -> Port:
    """Read a port, hold every file against the manifest, and replay the sample.

    Raises:
        PortError: When a file is missing, changed or unknown, a weight is not finite, the ONNX file carries another
            contract, or the sample comes out differently.
    """
    folder = Path(path)
    manifest = check_manifest(folder)
    for name in (CONTRACT, SOURCE_CONTRACT, PARITY, SAMPLE):
        if not (folder / name).is_file():
            raise PortError(f"{folder / name}: is missing, so this is no port that this version writes")
    onnx = folder / ONNX if (folder / ONNX).is_file() else None
    torchscript = folder / TORCHSCRIPT if (folder / TORCHSCRIPT).is_file() else None
    mapping = folder / MAPPING
    port = Port(
        path=folder,
        contract=load_contract(folder / CONTRACT),
        source_contract=load_contract(folder / SOURCE_CONTRACT),
        mapping=load_mapping(mapping) if mapping.is_file() else None,
        onnx=onnx,
        torchscript=torchscript,
        manifest=manifest,
        parity=json.loads((folder / PARITY).read_text(encoding="utf-8")),
        sample=Sample.load(folder / SAMPLE),
    )
    if onnx is not None:
        _check_onnx(onnx, port.contract)
        port.sample.check(onnx_runner(onnx), onnx)
    elif torchscript is not None:
        port.sample.check(torchscript_runner(torchscript), torchscript)
    else:
        raise PortError(f"{folder}: holds neither {ONNX} nor {TORCHSCRIPT}")
    return port


def _check_onnx(path: Path, contract: Contract) -> None:
    import numpy as np
    import onnx

    from policy_port.port.format import CONTRACT_KEY, constants, metadata

    # External data is left where it is: a port's file has none, and a path in it may lead anywhere.
    model = onnx.load_model(path, load_external_data=False)
    if any(tensor.data_location == onnx.TensorProto.EXTERNAL for tensor in model.graph.initializer):
        raise PortError(f"{path}: keeps weights in another file, which a port never does; export it again")
    for name, value in constants(model.graph).items():
        if not np.isfinite(value).all():
            raise PortError(f"{path}: weight '{name}' holds NaN or infinity; the policy was broken before its export")
    inside = metadata(model).get(CONTRACT_KEY)
    if inside is None or Contract.model_validate_json(inside) != contract:
        raise PortError(f"{path}: carries another contract than {CONTRACT} beside it; export it again")
