"""Writing a port: trace once, write each format, prove what was written, and only then put it in place."""

from __future__ import annotations

import json
import platform
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray

from policy_port import __version__
from policy_port.checkpoints import Actor, LoadedPolicy, load_policy
from policy_port.contract.spec import check_network_width
from policy_port.dynamics.document import load_dynamics
from policy_port.errors import MotionError, OutputError, PortError, closest
from policy_port.export import onnx_graph
from policy_port.export.deploy import write_deploy
from policy_port.export.fold import fold as fold_graph
from policy_port.export.images import check_images
from policy_port.export.ported_actor import PortedActor
from policy_port.export.sample import draw
from policy_port.export.torchscript import save_torchscript
from policy_port.export.tracing import trace
from policy_port.files import output_folder, sha256
from policy_port.motion.followed import Clip
from policy_port.motion.motion import Motion, packed
from policy_port.motion.read import clip_of_arrays
from policy_port.port import format as names
from policy_port.port.folder import Port, load_port
from policy_port.port.manifest import write_manifest
from policy_port.port.sample import run_file
from policy_port.remap.motion import target_motion

if TYPE_CHECKING:
    from policy_port.remap import Remap

FORMATS = ("torchscript", "onnx")

STAGES = ("exporting", "proving parity", "storing a sample", "reading back")
"""What `progress` is told, in order."""


def write_port(
    out: Path | str,
    policy: LoadedPolicy,
    remap: Remap,
    *,
    formats: Sequence[str] = FORMATS,
    fold: bool = False,
    deploy: bool = False,
    recorded: NDArray[np.float32] | None = None,
    motion: Motion | None = None,
    seed: int = 0,
    force: bool = False,
    progress: Callable[[str], None] = lambda stage: None,
) -> Port:
    """Write `policy` with `remap` around it as a port folder, and prove that it arrived unchanged.

    Args:
        out: The folder to write; it appears when everything has succeeded, or not at all.
        policy: The policy.
        remap: The remap, from `build_remap` or `identity_remap`.
        formats: Any of `FORMATS`.
        fold: Fold the remap into the first and last layer instead of leaving the weights untouched.
        deploy: Refuse a policy whose control step can't be one graph, which else goes without.
        recorded: Observations of the target's side to prove parity on too, shape (steps, observation size) or
            (steps, environments, observation size).
        motion: The clip that the policy follows, in the parsing that it was trained with, to lie in the port.
        seed: Seed of the drawn observations.
        force: Replace a folder that is already at `out`.
        progress: Called with each of `STAGES` before it begins.

    Returns:
        The port, read back from `out`.

    Raises:
        CheckpointError: When the file holds what the policy may need and the actor leaves out.
        ContractError: When the network's widths or images are not the contract's.
        ProofError: When what was written does not compute what the checkpoint computes.
        PortError: When the policy can't be written in a format, or the remap can't be folded.
        OutputError: When `out` is taken or can't be written.
    """
    _check(policy, remap, formats)
    with output_folder(out, force, (policy.path,)) as folder:
        progress(STAGES[0])
        clip = _clip(motion, policy, remap)
        _write_documents(folder, remap, clip)
        _write_networks(folder, policy, remap, formats, folded=fold)
        progress(STAGES[1])
        report = _prove(folder, policy, remap, recorded, seed)
        (folder / names.PARITY).write_text(report, encoding="utf-8")
        without = write_deploy(folder, policy, remap, clip, seed)
        _insist(deploy, without, policy)
        progress(STAGES[2])
        run = run_file(folder / (names.ONNX if (folder / names.ONNX).exists() else names.TORCHSCRIPT))
        draw(run, remap.target.observation_size, seed, remap.target.images).save(folder / names.SAMPLE)
        options = {"formats": list(formats), "fold": fold, "seed": seed, "recorded": recorded is not None}
        write_manifest(folder, _about(policy, options) | ({names.WITHOUT_DEPLOY: without} if without else {}))
        progress(STAGES[3])
        ready = load_port(folder)
    return ready.moved(Path(out))


def _insist(deploy: bool, without: str, policy: LoadedPolicy) -> None:
    """Refuse a policy that goes without the graph that was asked for."""
    if deploy and without:
        raise PortError(f"{policy.path}: its control step can't be one graph: {without}. Leave out --deploy")


def _write_documents(folder: Path, remap: Remap, clip: Motion | None) -> None:
    (folder / names.CONTRACT).write_text(remap.target.to_yaml(), encoding="utf-8")
    (folder / names.SOURCE_CONTRACT).write_text(remap.source.to_yaml(), encoding="utf-8")
    if remap.mapping is not None:
        (folder / names.MAPPING).write_text(remap.mapping.to_yaml(), encoding="utf-8")
    if clip is not None:
        (folder / names.MOTION).write_bytes(packed(clip))


def _clip(motion: Motion | None, policy: LoadedPolicy, remap: Remap) -> Motion | None:
    """The clip in the target's parsing, whole enough for the policy to follow it; the file's own, if none is given."""
    if motion is None and policy.clip and remap.source.motion is not None:
        motion = clip_of_arrays(policy.path, policy.clip, remap.source)
    if motion is None:
        return None
    if remap.source.motion is None:
        raise MotionError(f"contract '{remap.source.name}' reads no reference motion; leave --motion out")
    Clip(motion, remap.source.motion, remap.source.control_dt).check(remap.source)
    return motion if remap.mapping is None else target_motion(motion, remap.mapping)


def check_formats(formats: Sequence[str]) -> None:
    """Refuse formats that there are not.

    Raises:
        OutputError: Naming it, and those that there are.
    """
    for name in formats:
        if name not in FORMATS:
            raise OutputError(
                f"format '{name}' is unknown{closest(name, FORMATS) or '.'} Known are {', '.join(FORMATS)}"
            )
    if not formats:
        raise OutputError(f"no format was asked for; name one or both of {', '.join(FORMATS)}")


def _check(policy: LoadedPolicy, remap: Remap, formats: Sequence[str]) -> None:
    check_formats(formats)
    policy.require_explained()
    check_network_width(remap.source, policy.actor.obs_size, policy.actor.action_size, policy=str(policy.path))
    check_images(remap.source, policy.actor, policy=str(policy.path))
    if policy.actor.chunk is not None and remap.mapping is not None:
        raise PortError(
            f"{policy.path}: answers with chunks of {policy.actor.chunk} actions, which a remap can't carry yet; "
            "`policy-port export` writes it as it is"
        )


def _write_networks(folder: Path, policy: LoadedPolicy, remap: Remap, formats: Sequence[str], *, folded: bool) -> None:
    before = not (remap.observation.is_identity and remap.observation_clip is None)
    behind = not (remap.action.is_identity and remap.action_clip is None)
    actor: Actor = PortedActor(policy.actor, remap) if before or behind else policy.actor
    traced = trace(actor)
    contract = remap.target.model_dump_json(exclude_none=True)
    metadata = {
        names.CONTRACT_KEY: contract,
        names.VERSION_KEY: __version__,
        names.SOURCE_KEY: policy.sha256,
        names.PRODUCER_KEY: f"policy-port {__version__}",
    }
    if (folder / names.MOTION).exists():
        metadata[names.MOTION_KEY] = sha256(folder / names.MOTION)
    metadata |= {key: repr(value) for key, value in _chunking(policy.actor).items() if value is not None}
    if "onnx" in formats or folded:
        _refuse_initial_state(policy)
        model = onnx_graph.build_onnx(traced, actor)
        if folded:
            model = fold_graph(model, observation=before, action=behind)
        onnx_graph.set_metadata(model, metadata)
        onnx_graph.check(model)
        onnx.save_model(model, folder / names.ONNX)
    if "torchscript" in formats:
        if folded:
            # The folded numbers exist in the ONNX graph only, so TorchScript is made from what was written there.
            actor = load_policy(folder / names.ONNX).actor
            traced = trace(actor)
        about = json.dumps({key: value for key, value in metadata.items() if key != names.CONTRACT_KEY})
        texts = {names.CONTRACT_TEXT: contract, names.ABOUT_TEXT: about}
        save_torchscript(folder / names.TORCHSCRIPT, traced, actor, texts)
    if "onnx" not in formats:
        (folder / names.ONNX).unlink(missing_ok=True)


def _refuse_initial_state(policy: LoadedPolicy) -> None:
    """An ONNX graph's state is an input, and whoever runs it starts it at zero."""
    if any(bool(state.any()) for state in policy.actor.initial_state(1)):
        raise PortError(
            f"{policy.path}: its recurrent state does not start at zero, which an ONNX file can't say; "
            + (
                "TorchScript ports of policies that see hold no memory either, so it can't be exported"
                if policy.actor.images
                else "export it with --format torchscript and without --fold. Your own program runs such a port, and "
                "verify does with --engine torchscript; play, regress and diagnose --plant need ONNX"
            )
        )


def _prove(folder: Path, policy: LoadedPolicy, remap: Remap, recorded: NDArray[np.float32] | None, seed: int) -> str:
    from policy_port.proof.parity import prove

    return prove(folder, policy, remap, recorded=recorded, seed=seed).to_json()


def _chunking(actor: Actor) -> dict[str, Any]:
    """How the actor's chunks are performed, under the format's keys."""
    return {key: getattr(actor, key) for key in names.CHUNKING}


def _learned_under(run: Path) -> dict[str, str]:
    """The dynamics that a policy of a training's folder was trained under, as traces under them name them."""
    file = run / "dynamics.yaml"
    if not (run / "run.yaml").is_file() or not file.is_file():
        return {}
    return load_dynamics(file).identity


def _about(policy: LoadedPolicy, options: dict[str, Any]) -> dict[str, Any]:
    return {
        "port_version": 1,
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        # The name without its folder: a port says what was ported, not who keeps it where.
        names.POLICY: {
            "file": policy.path.name,
            "sha256": policy.sha256,
            "library": policy.library,
            "version": policy.version,
            "ignored": [str(leftover) for leftover in policy.ignored],
            "images": [image.name for image in policy.actor.images],
            **_chunking(policy.actor),
            **_learned_under(policy.path.parent),
        },
        "options": options,
        "versions": {
            "policy_port": __version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "onnx": onnx.__version__,
            "onnxruntime": onnxruntime.__version__,
            "numpy": np.__version__,
        },
    }
