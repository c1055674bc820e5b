"""Whose each file of a port is: sums only say that nothing changed since somebody took them, not that all is of one."""

from __future__ import annotations

import hashlib
import io
import json
import math
import zipfile
from collections.abc import Hashable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import ValidationError

from policy_port.arrays import Float32
from policy_port.contract import Contract, RobotMapping
from policy_port.errors import CheckpointError, ContractError, MappingError, PortError, one_line
from policy_port.port import format as names
from policy_port.port.folded import network_in
from policy_port.port.sample import RunFile, Sample, run_file
from policy_port.remap import build_remap

ANOTHER = 1e-3
"""Difference of two networks' answers that no rounding makes, as a fraction of the largest: parity allows a tenth."""

ROUNDED = 1e-12
"""Difference of two numbers of a contract that rounding makes, as a fraction of them, or of 1 if that is more."""

_ADVICE = "Copy the whole port again from where it came, or write it again with `policy-port remap` or `export`"

Said = Mapping[str, Mapping[str, str]]
"""What files say of themselves: key and text by the file's name."""


def said_by(folder: Path, held: Mapping[str, bytes]) -> dict[str, dict[str, str]]:
    """What each network of a port says of itself; one that can't be read says nothing, and is refused elsewhere."""
    said = {}
    for name in (names.ONNX, names.DEPLOY):
        if name in held:
            said[name] = _of_onnx(folder / name, held[name])
    if names.TORCHSCRIPT in held:
        said[names.TORCHSCRIPT] = _of_torchscript(held[names.TORCHSCRIPT])
    return said


def check_contracts(folder: Path, contract: Contract, said: Said) -> None:
    """Hold the contract that each network carries against the one beside it.

    Raises:
        PortError: Naming the file that carries another one than the rest.
    """
    carried: dict[str, Contract | None] = {names.CONTRACT: contract}
    for name, texts in said.items():
        if name != names.TORCHSCRIPT or names.CONTRACT_KEY in texts:
            carried[name] = _contract_in(texts.get(names.CONTRACT_KEY))
    others = [name for name, inside in carried.items() if inside != contract]
    if not others:
        return
    agreed = all(carried[name] is not None and carried[name] == carried[others[0]] for name in others)
    if agreed and len(others) > 1 and len(others) > len(carried) - len(others):
        raise PortError(
            f"{folder / names.CONTRACT}: is another contract than {', '.join(others)} carry, so it belongs to another "
            f"port. {_ADVICE}"
        )
    raise PortError(f"{folder / others[0]}: carries another contract than {names.CONTRACT} beside it. {_ADVICE}")


def check_source(folder: Path, contract: Contract, source: Contract, mapping: RobotMapping | None) -> None:
    """Hold the source's contract and the mapping against the contract that they lead to.

    Another version of this package may have written the port, with other words of where numbers are from, and with
    numbers that it reckoned in another order.

    Raises:
        PortError: Naming the file that does not lead there.
    """
    file = folder / names.SOURCE_CONTRACT
    if mapping is None:
        if not _says_the_same(source, contract):
            raise PortError(f"{file}: is another contract than {names.CONTRACT}, without a mapping between. {_ADVICE}")
        return
    if mapping.target_joint_names != contract.joint_names:
        raise PortError(
            f"{folder / names.MAPPING}: leads to the joints {', '.join(mapping.target_joint_names)}, "
            f"{names.CONTRACT} has {', '.join(contract.joint_names)}, so it belongs to another port. {_ADVICE}"
        )
    try:
        reached = build_remap(source, mapping).target
    except (MappingError, ContractError) as cause:
        raise PortError(
            f"{file}: does not go with {names.MAPPING} beside it, so one of the two belongs to another port: "
            f"{one_line(cause)}. {_ADVICE}"
        ) from None
    if not _says_the_same(reached, contract):
        raise PortError(
            f"{file}: leads through {names.MAPPING} to another contract than {names.CONTRACT}, so one of the two "
            f"belongs to another port. {_ADVICE}"
        )


def _says_the_same(one: Any, other: Any) -> bool:
    """Whether two contracts, or parts of them, mean the same: all but the sources, and rounding."""
    if isinstance(one, Contract) and isinstance(other, Contract):
        return one == other or _says_the_same(
            one.model_dump(exclude={"sources"}), other.model_dump(exclude={"sources"})
        )
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(_says_the_same(one[key], other[key]) for key in one)
    if isinstance(one, list | tuple) and isinstance(other, list | tuple):
        return len(one) == len(other) and all(map(_says_the_same, one, other))
    if isinstance(one, float) and isinstance(other, float):
        return math.isclose(one, other, rel_tol=ROUNDED, abs_tol=ROUNDED)
    return bool(one == other)


def check_parity(folder: Path, parity: Mapping[str, Any], contract: Contract, source: Contract) -> None:
    """Hold the contracts and joints that a parity report names against the port's.

    Raises:
        PortError: When it reports on others.
    """
    files = parity.get("files")
    rows = files[0].get("joints") if isinstance(files, list) and files and isinstance(files[0], dict) else None
    joints = [row.get("joint") for row in rows if isinstance(row, dict)] if isinstance(rows, list) else None
    expected = {
        "source": (parity.get("source"), source.name),
        "target": (parity.get("target"), contract.name),
        "joints": (joints, list(contract.action_joint_names)),
    }
    for key, (found, wanted) in expected.items():
        if found is not None and found != wanted:
            raise PortError(
                f"{folder / names.PARITY}: reports on another port: its {key} is {found!r:.200}, this one's is "
                f"{wanted!r:.200}. {_ADVICE}"
            )


def check_checkpoint(folder: Path, manifest: Mapping[str, Any], parity: Mapping[str, Any], said: Said) -> None:
    """Hold the checkpoints that the files say they were made of against one another.

    Raises:
        PortError: Naming the file that was made of another one than the rest.
    """
    told: dict[str, object] = {
        names.MANIFEST: manifest[names.POLICY].get("sha256"),
        names.PARITY: parity.get("policy_sha256"),
        **{name: texts.get(names.SOURCE_KEY) for name, texts in said.items()},
    }
    _one_only(folder, {name: sha for name, sha in told.items() if isinstance(sha, str)}, "was made of the checkpoint")


def check_motion(folder: Path, held: Mapping[str, bytes], said: Said) -> None:
    """Hold the clip against the sum of it that the networks carry; ports of before carry none.

    Raises:
        PortError: When it is another clip, or is missing.
    """
    sums = {name: texts[names.MOTION_KEY] for name, texts in said.items() if names.MOTION_KEY in texts}
    if sums and names.MOTION not in held:
        raise PortError(f"{folder / names.MOTION}: is missing; {', '.join(sums)} were written with it. {_ADVICE}")
    if sums:
        own = {names.MOTION: hashlib.sha256(held[names.MOTION]).hexdigest()}
        _one_only(folder, sums | own, "goes with the clip")


def check_answers(folder: Path, held: Mapping[str, bytes], sample: Sample, *, torchscript: bool) -> None:
    """Replay the sample on the networks: on the one that is played exactly, on the others up to rounding.

    Args:
        folder: The port's folder.
        held: The bytes of its files.
        sample: The stored sample.
        torchscript: Also on TorchScript beside ONNX, which takes torch some seconds to open.

    Raises:
        PortError: Naming the file that computes something else than the rest, the sample among them.
        CheckpointError: When TorchScript does not load.
    """
    played = names.ONNX if names.ONNX in held else names.TORCHSCRIPT
    try:
        sample.check(run_file(folder / played, held[played]), folder / played)
    except PortError:
        _name_the_odd_one(folder, held, sample, played)
        raise
    others = [names.DEPLOY, *([names.TORCHSCRIPT] if torchscript else [])]
    for name in others:
        if name in held and name != played and not _alike(_answer(folder, name, held, sample), sample.actions):
            raise PortError(
                f"{folder / name}: computes something else than {played} on the port's own {names.SAMPLE}, so it "
                f"belongs to another policy. {_ADVICE}"
            )


def _name_the_odd_one(folder: Path, held: Mapping[str, bytes], sample: Sample, played: str) -> None:
    """Raise for the sample where the networks agree with one another and not with it."""
    answers = [
        _answer(folder, name, held, sample)
        for name in (names.ONNX, names.TORCHSCRIPT, names.DEPLOY)
        if name in held and name != played
    ]
    own = _answer(folder, played, held, sample)
    if own is None or _alike(own, sample.actions) or not answers:
        return
    if all(_alike(answer, own) for answer in answers):
        raise PortError(
            f"{folder / names.SAMPLE}: holds what another policy computes: the port's networks agree with one "
            f"another and not with it. {_ADVICE}"
        ) from None


def _answer(folder: Path, name: str, held: Mapping[str, bytes], sample: Sample) -> Float32 | None:
    """What a network of the port computes of the sample; None where it can't run on it."""
    try:
        data = network_in(held[name]) if name == names.DEPLOY else held[name]
        run: RunFile = run_file(folder / name, data)
        return run(sample.obs, sample.reset, sample.images)
    except CheckpointError:
        raise
    except Exception:
        # ONNX, ONNX Runtime and torch raise classes of their own that share no base but Exception.
        return None


def _alike(found: Float32 | None, wanted: Float32) -> bool:
    if found is None or found.shape != wanted.shape:
        return False
    allowed = ANOTHER * max(float(np.abs(wanted).max()), 1e-3)
    return bool((np.abs(found.astype(np.float64) - wanted) <= allowed).all())


def _one_only(folder: Path, told: Mapping[str, Hashable], what: str) -> None:
    """Raise for the files that say something else than most do; of equally many, the first file's word counts."""
    groups: dict[Hashable, list[str]] = {}
    for name, value in told.items():
        groups.setdefault(value, []).append(name)
    if len(groups) < 2:
        return
    most = max(groups, key=lambda value: len(groups[value]))
    other, odd = next((value, files) for value, files in groups.items() if value != most)
    raise PortError(
        f"{folder / odd[0]}: belongs to another policy: it {what} {str(other)[:12]}, "
        f"{', '.join(groups[most])} {str(most)[:12]}. {_ADVICE}"
    )


def _of_onnx(path: Path, data: bytes) -> dict[str, str]:
    import onnx

    try:
        return names.metadata(onnx.load_model_from_string(data))
    except Exception as cause:
        # Protobuf raises classes of its own that share no base but Exception.
        raise PortError(f"{path}: is no ONNX model, or a damaged one: {one_line(cause)}") from None


def _of_torchscript(data: bytes) -> dict[str, str]:
    """The texts in a TorchScript file, without torch."""
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            found = {entry.rpartition("/")[2]: entry for entry in archive.namelist() if "/extra/" in entry}
            about = json.loads(archive.read(found[names.ABOUT_TEXT]))
            contract = archive.read(found[names.CONTRACT_TEXT]).decode()
        return {str(key): str(value) for key, value in about.items()} | {names.CONTRACT_KEY: contract}
    except (zipfile.BadZipFile, KeyError, ValueError, AttributeError, EOFError, NotImplementedError, RecursionError):
        return {}


def _contract_in(text: str | None) -> Contract | None:
    try:
        return None if text is None else Contract.model_validate_json(text)
    except ValidationError:
        return None
