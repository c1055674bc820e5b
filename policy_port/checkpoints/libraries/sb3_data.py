"""What the member `data` of a Stable-Baselines3 file says: spaces, policy class and its arguments, and the training."""

from __future__ import annotations

import base64
import binascii
import json
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from policy_port.checkpoints.files.inert_pickle import Inert, array_of, foreign_imports, read_inert
from policy_port.errors import CheckpointError

Bounds = tuple[NDArray[np.float64], NDArray[np.float64]]
Block = tuple[str, int]

_POLICIES = {
    f"{module}.{name}"
    for module, names in {
        "stable_baselines3.common.policies": ("ActorCriticPolicy", "MultiInputActorCriticPolicy"),
        "stable_baselines3.sac.policies": ("SACPolicy", "MultiInputPolicy"),
        "stable_baselines3.td3.policies": ("TD3Policy", "MultiInputPolicy"),
        "sb3_contrib.tqc.policies": ("TQCPolicy", "MultiInputPolicy"),
        "sb3_contrib.crossq.policies": ("CrossQPolicy",),
        "sb3_contrib.common.recurrent.policies": (
            "RecurrentActorCriticPolicy",
            "RecurrentMultiInputActorCriticPolicy",
        ),
    }.items()
    for name in names
}
"""Classes whose forward() is known; MlpPolicy is another name of the first of each."""
_EXTRACTORS = {f"stable_baselines3.common.torch_layers.{name}" for name in ("FlattenExtractor", "CombinedExtractor")}
"""Extractors that only put numbers side by side."""
ADVICE = "export the policy from the training as TorchScript or ONNX, which are read too"


@dataclass(frozen=True, kw_only=True)
class Run:
    """What a file says of the run that wrote it."""

    where: str
    arguments: dict[str, Any]
    """policy_kwargs, values as text or plain numbers."""
    bounds: Bounds
    """The action space's bounds at full precision; the readable text beside them is rounded."""
    blocks: tuple[Block, ...]
    """Name and width of each entry of a Dict observation, in the order in which the network reads them; () for one
    vector."""
    steps: int | None
    """Environment steps when the file was saved."""
    envs: int
    """Number of environments."""
    kept_original: bool
    """Whether the file keeps the observation as it was before VecNormalize. The off-policy algorithms keep one
    without VecNormalize too."""
    explores: bool
    """Whether it trained with gSDE, state-dependent exploration, which its deterministic action leaves out."""
    recurrent: bool
    """Whether its policy class has a memory."""
    notes: tuple[str, ...]

    def reads(self) -> str:
        """The entries of a Dict observation in words."""
        return ", ".join(f"{name} {width}" for name, width in self.blocks)


def read_run(member: bytes, where: str) -> Run:
    """Read the member `data`; what changes the network and is not understood is refused."""
    try:
        data = json.loads(member)
    except (ValueError, RecursionError) as error:
        raise CheckpointError(f"{where}: its member data is not JSON ({error})") from error
    if not isinstance(data, dict):
        raise CheckpointError(f"{where}: its member data is not a JSON object")
    notes: list[str] = []
    policy = _known_policy(data, where, notes)
    arguments = _arguments(data, where, notes)
    _require_plain(arguments, where)
    steps, envs = data.get("num_timesteps"), data.get("n_envs")
    return Run(
        where=where,
        arguments=arguments,
        bounds=_bounds(_pickled(data, "action_space", where, notes), where),
        blocks=_blocks(_pickled(data, "observation_space", where, notes), where),
        steps=steps if isinstance(steps, int) and steps > 0 else None,
        envs=envs if isinstance(envs, int) and envs > 0 else 1,
        kept_original=data.get("_last_original_obs") is not None,
        explores=data.get("use_sde") is True or arguments.get("use_sde") is True,
        recurrent=policy.rpartition(".")[2].startswith("Recurrent"),
        notes=tuple(notes),
    )


def _pickled(data: dict[str, Any], key: str, where: str, notes: list[str]) -> Any:
    """The value of a key whose value was pickled, with stand-ins for all objects; None where there is none."""
    value = data.get(key)
    serialised = value.get(":serialized:") if isinstance(value, dict) else None
    if serialised is None:
        return None
    try:
        content = base64.b64decode(str(serialised), validate=True)
    except binascii.Error as error:
        raise CheckpointError(f"{where}: the {key} in its member data can't be read") from error
    foreign = foreign_imports(content, f"{where}: {key}")
    if foreign:
        notes.append(f"{key} would import and run {', '.join(foreign[:4])} where it is unpickled; nothing of it was")
    return read_inert(content, f"{where}: {key}")


def _name_of(value: Any) -> Any:
    """The dotted name of a class or function in a pickle, of one that cloudpickle wrote out whole too."""
    if not isinstance(value, Inert | type):
        return value
    dotted = str(getattr(value, "dotted", "") or value)
    if dotted.startswith("cloudpickle.") and isinstance(value, Inert):
        name = next((argument for argument in value.arguments if isinstance(argument, str)), "a function")
        spaces = [argument for argument in value.arguments if isinstance(argument, dict)]
        module = next((space[key] for space in spaces for key in ("__module__", "__name__") if key in space), "unknown")
        return f"{module}.{name}"
    return dotted


def _known_policy(data: dict[str, Any], where: str, notes: list[str]) -> str:
    """The dotted name of the policy class, whose network must be known."""
    try:
        policy = _pickled(data, "policy_class", where, notes)
    except CheckpointError as error:
        # The library goes on without it, too; the module stands beside the pickle as text.
        if data["policy_class"].get("__module__") not in {name.rpartition(".")[0] for name in _POLICIES}:
            raise
        notes.append(f"the policy class is known by its module alone ({error})")
        return ""
    if policy is None:
        notes.append("its member data names no policy class: that it is one of the library's is taken on trust")
        return ""
    dotted = str(_name_of(policy))
    if dotted not in _POLICIES:
        raise CheckpointError(
            f"{where}: its policy class is {dotted}, whose network is not known; read are MlpPolicy and "
            "MultiInputPolicy of PPO, A2C, TRPO, SAC, TQC, TD3 and DDPG, MlpPolicy of CrossQ, and MlpLstmPolicy and "
            f"MultiInputLstmPolicy of RecurrentPPO. For another class, {ADVICE}"
        )
    return dotted


def _arguments(data: dict[str, Any], where: str, notes: list[str]) -> dict[str, Any]:
    """policy_kwargs; objects as their dotted names."""
    plain = data.get("policy_kwargs")
    given = _pickled(data, "policy_kwargs", where, notes)
    values = given if isinstance(given, dict) else plain if isinstance(plain, dict) else {}
    return {str(key): _name_of(value) for key, value in values.items()}


def _require_plain(arguments: dict[str, Any], where: str) -> None:
    """Refuse what would make another network of the same tensors."""
    extractor = arguments.get("features_extractor_class")
    if extractor is not None and extractor not in _EXTRACTORS:
        raise CheckpointError(
            f"{where}: its features_extractor_class is {extractor}, which may compute anything without a tensor in the "
            f"file; {ADVICE}"
        )


def _bounds(box: Any, where: str) -> Bounds:
    if not isinstance(box, Inert) or not box.dotted.endswith(".Box"):
        kind = getattr(box, "dotted", "not in its member data" if box is None else type(box).__name__)
        raise CheckpointError(f"{where}: the action space is {kind}; only Box, continuous actions, is supported")
    low, high = (array_of(box.field(name), f"{where}: action_space.{name}") for name in ("low", "high"))
    low, high = low.reshape(-1), high.reshape(-1)
    if low.shape != high.shape or not (low <= high).all():
        raise CheckpointError(f"{where}: the bounds of the action space are no bounds: {low} to {high}")
    return low, high


def _blocks(space: Any, where: str) -> tuple[Block, ...]:
    if space is None:
        return ()
    dotted = getattr(space, "dotted", type(space).__name__)
    if dotted.endswith(".Box"):
        shape, kind = space.field("_shape") or space.field("shape"), space.field("dtype")
        if isinstance(shape, tuple) and len(shape) == 3 and isinstance(kind, Inert) and kind.arguments[:1] == ("u1",):
            raise CheckpointError(
                f"{where}: the observation space is an image of bytes, {shape}, which the library divides by 255 and "
                f"whose channels it moves; only vectors are read; {ADVICE}"
            )
        return ()
    spaces = space.field("spaces") if isinstance(space, Inert) and dotted.endswith(".Dict") else None
    entries = spaces.entries if isinstance(spaces, Inert) else spaces
    if not isinstance(entries, dict) or not entries:
        raise CheckpointError(f"{where}: the observation space is {dotted}; supported are Box and a Dict of Box")
    return tuple((str(name), _width(inner, f"{where}: observation {name}")) for name, inner in entries.items())


def _width(space: Any, where: str) -> int:
    dotted = getattr(space, "dotted", type(space).__name__)
    if not isinstance(space, Inert) or not dotted.endswith(".Box"):
        raise CheckpointError(f"{where} is {dotted}; supported are vectors (Box)")
    return int(array_of(space.field("low"), f"{where}: low").size)
