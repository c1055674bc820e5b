"""LeRobot policy folders: ACT, with the statistics of its processors inside the graph and chunks as its output."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.checkpoints.files.safe_load import require_finite
from policy_port.checkpoints.files.safetensors_read import read_safetensors
from policy_port.checkpoints.libraries.lerobot_folder import (
    CONFIG,
    POSTPROCESSOR,
    PREPROCESSOR,
    WEIGHTS,
    Statistics,
    read_json,
)
from policy_port.checkpoints.policy import Leftover, Loaded, LoadOptions, NormaliserInfo, Source
from policy_port.errors import CheckpointError, MissingDependencyError

STATE, ENVIRONMENT, IMAGES = "observation.state", "observation.environment_state", "observation.image"

REFUSED = {
    "diffusion": "it draws noise and denoises it in a loop, and keeps a queue of observations",
    "multi_task_dit": "it draws noise and denoises it in a loop",
    "vqbet": "it draws from a code book at random and keeps a queue of observations",
    "tdmpc": "it plans by sampling at every step",
    "smolvla": "it reads language and integrates a flow from noise in a loop",
    "pi0": "it reads language and integrates a flow from noise in a loop",
    "pi05": "it reads language and integrates a flow from noise in a loop",
    "pi0_fast": "it reads language and writes tokens one by one",
    "groot": "it reads language and integrates a flow from noise in a loop",
    "xvla": "it reads language and integrates a flow from noise in a loop",
}
"""LeRobot policies that are one graph in no useful sense, and why."""

_SIZES = {
    "chunk_size": 10_000,
    "dim_model": 8192,
    "n_heads": 256,
    "dim_feedforward": 65_536,
    "n_encoder_layers": 64,
    "n_decoder_layers": 64,
    "latent_dim": 8192,
}
"""Largest value of each size, so that a damaged configuration allocates nothing absurd."""
_SETTINGS = ("vision_backbone", "replace_final_stride_with_dilation", "pre_norm", "feedforward_activation")
_BACKBONES = ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152")

SUPPORTED = "LeRobot ACT: chunks of actions, images, the statistics inside the graph (needs the extra `real`)"
"""What of it is read, in words."""


def evidence(source: Source) -> tuple[str, ...]:
    """Why this is a LeRobot policy, or nothing."""
    config = read_json(source.members[CONFIG], source.path / CONFIG)
    if not {"type", "input_features", "output_features"} <= set(config):
        return ()
    return (f"a folder with {CONFIG} of type {config['type']}",)


def load(source: Source, options: LoadOptions) -> Loaded:
    """Build the actor of an ACT folder."""
    config = read_json(source.members[CONFIG], source.path / CONFIG)
    kind = str(config.get("type"))
    if kind != "act":
        reason = REFUSED.get(kind, "its network is not known here")
        raise CheckpointError(f"{source.path}: a LeRobot policy of type {kind}: {reason}. Only act is supported")
    if WEIGHTS not in source.members:
        raise CheckpointError(f"{source.path / WEIGHTS}: is missing; copy the whole folder")
    tensors = read_safetensors(source.members[WEIGHTS], str(source.path / WEIGHTS))
    features = _Features(source, config)
    network, used = _network(source, config, features, tensors)
    before = Statistics.read(source, PREPROCESSOR, "normalizer_processor")
    after = Statistics.read(source, POSTPROCESSOR, "unnormalizer_processor")
    mapping, seen_kinds = config.get("normalization_mapping"), ["VISUAL"] if features.images else []
    before.check(mapping, [*(kind for _, kind, _ in features.vectors), *seen_kinds])
    after.check(mapping, ["ACTION"])
    vectors = [before.normaliser(key, kind, (size,)) for key, kind, size in features.vectors]
    seen = [before.normaliser(key, "VISUAL", shape) for key, shape in features.images.items()]
    out, action_formula = after.unnormaliser("action", "ACTION", (features.action,))
    actor = ActActor(
        network=network,
        vectors=[module for module, _ in vectors],
        seen=[module for module, _ in seen],
        features=features,
        out=out,
        chunk=int(config["chunk_size"]),
        performed=_performed(source, config),
    )
    formulas = [formula for _, formula in (*vectors, *seen)]
    backbone = [str(config.get("vision_backbone"))] if features.images else []
    shape = ", ".join(f"{name} {config[name]}" for name in _SIZES if name in config)
    return Loaded(
        version="policy folder with processors",
        actor=actor,
        architecture=(*formulas, *backbone, f"transformer: {shape}", action_formula),
        distribution="none; the actor returns a chunk of actions in the data set's units",
        normaliser=_info(before, features),
        rest=tuple(
            Leftover(name, str(tuple(tensor.shape)), tensor.numel())
            for name, tensor in tensors.items()
            if name not in used
        ),
        notes=(
            f"answers with chunks of {actor.chunk} actions; LeRobot performs {actor.chunk_steps} of them before it "
            "asks again",
            "the observation is " + ", then ".join(f"{key} ({size})" for key, _, size in features.vectors),
            *(
                ["temporal ensembling happens between calls and is not in the graph; play does it"]
                if actor.temporal_ensemble is not None
                else []
            ),
        ),
    )


class ActActor(Actor):
    """Normalised vectors and images through LeRobot's network, and its actions in the data set's units."""

    def __init__(
        self,
        *,
        network: nn.Module,
        vectors: list[nn.Module],
        seen: list[nn.Module],
        features: _Features,
        out: nn.Module,
        chunk: int,
        performed: tuple[int, float | None],
    ) -> None:
        super().__init__()
        self.network = network
        self.vectors = nn.ModuleList(vectors)
        self.vector_sizes = {key: size for key, _, size in features.vectors}
        self.seen = nn.ModuleList(seen)
        self.images = features.ports()
        self.out = out
        self.obs_size = sum(self.vector_sizes.values())
        self.action_size = features.action
        self.chunk = chunk
        self.chunk_steps, self.temporal_ensemble = performed
        self.state_names = ()
        self.state_shapes = ()

    def forward(self, obs: Tensor, *images: Tensor) -> tuple[Tensor, ...]:
        """Compute a chunk of actions."""
        parts = obs.split(list(self.vector_sizes.values()), dim=1)
        # The network asks the state where to compute, even when it reads none.
        batch: dict[str, Any] = {STATE: obs}
        for key, part, normalise in zip(self.vector_sizes, parts, self.vectors, strict=True):
            batch[key] = normalise(part)
        if self.images:
            batch["observation.images"] = [
                normalise(image.type_as(obs)) for normalise, image in zip(self.seen, images, strict=True)
            ]
        return (self.out(self.network(batch)[0]),)


class _Features:
    """What a configuration says that goes in and out."""

    def __init__(self, source: Source, config: dict[str, Any]) -> None:
        self._where = str(source.path / CONFIG)
        inputs, outputs = (self._section(config, key) for key in ("input_features", "output_features"))
        self.vectors: list[tuple[str, str, int]] = []
        for key, kind in ((STATE, "STATE"), (ENVIRONMENT, "ENV")):
            if key in inputs:
                self.vectors.append((key, kind, self._shape(inputs, key, 1)[0]))
        self.images = {key: self._shape(inputs, key, 3) for key in inputs if key.startswith(IMAGES)}
        strange = sorted(set(inputs) - {STATE, ENVIRONMENT} - set(self.images)) + sorted(set(outputs) - {"action"})
        if strange or not self.vectors or "action" not in outputs:
            raise CheckpointError(
                f"{self._where}: reads {', '.join(inputs) or 'nothing'} and writes {', '.join(outputs) or 'nothing'}; "
                f"known are {STATE}, {ENVIRONMENT}, {IMAGES}s.* and action, and a port needs a vector"
            )
        self.action = self._shape(outputs, "action", 1)[0]

    def ports(self) -> tuple[ImageSpec, ...]:
        """The images, under the names that `contract import` gives them."""
        ports = []
        for key, (channels, height, width) in self.images.items():
            name = key.removeprefix("observation.images.").removeprefix("observation.")
            size = {"height": height, "width": width, "channels": channels}
            ports.append(ImageSpec(name=name, layout="nchw", dtype="float32", scale=1.0, **size))
        return tuple(ports)

    def _section(self, config: dict[str, Any], key: str) -> dict[str, Any]:
        section = config.get(key)
        if not isinstance(section, dict):
            raise CheckpointError(f"{self._where}: {key} is {section!r:.60}, not a table of features")
        return section

    def _shape(self, section: dict[str, Any], key: str, rank: int) -> tuple[int, ...]:
        entry = section[key]
        shape = entry.get("shape") if isinstance(entry, dict) else None
        good = isinstance(shape, list) and len(shape) == rank
        if not good or not all(type(size) is int and 0 < size <= 16_384 for size in shape or ()):
            raise CheckpointError(f"{self._where}: {key} has the shape {shape!r:.60}; expected {rank} sizes")
        return tuple(shape or ())


def _network(
    source: Source, config: dict[str, Any], features: _Features, tensors: dict[str, Tensor]
) -> tuple[nn.Module, set[str]]:
    """Build LeRobot's network without weights and give it those of the file; nothing is downloaded."""
    where = str(source.path / CONFIG)
    for name, largest in _SIZES.items():
        if type(config.get(name)) is not int or not 0 < config[name] <= largest:
            raise CheckpointError(f"{where}: {name} is {config.get(name)!r:.60}; expected 1 to {largest}")
    if features.images and config.get("vision_backbone") not in _BACKBONES:
        raise CheckpointError(
            f"{where}: vision_backbone {config.get('vision_backbone')!r:.60} is none of {', '.join(_BACKBONES)}"
        )
    try:
        from lerobot.configs.types import FeatureType, PolicyFeature
        from lerobot.policies.act.configuration_act import ACTConfig
        from lerobot.policies.act.modeling_act import ACT
    except ImportError as error:
        raise MissingDependencyError(
            f"{source.path}: ACT's network is LeRobot's own, which is not installed ({error}). Install it with "
            "pip install 'policy-port[real]'"
        ) from error
    kinds = {STATE: FeatureType.STATE, ENVIRONMENT: FeatureType.ENV}
    inputs = {key: PolicyFeature(type=kinds[key], shape=(size,)) for key, _, size in features.vectors}
    inputs |= {key: PolicyFeature(type=FeatureType.VISUAL, shape=shape) for key, shape in features.images.items()}
    try:
        built = ACTConfig(
            input_features=inputs,
            output_features={"action": PolicyFeature(type=FeatureType.ACTION, shape=(features.action,))},
            device="cpu",
            # The variational encoder only trains; the weights of the backbone are in the file.
            use_vae=False,
            pretrained_backbone_weights=None,
            n_action_steps=1,
            **{name: config[name] for name in (*_SIZES, *_SETTINGS) if name in config},
        )
        built.validate_features()
        with torch.device("meta"):
            network = ACT(built)
        names = {name: f"model.{name}" for name in network.state_dict()}
        absent = [full for full in names.values() if full not in tensors]
        if absent:
            raise CheckpointError(f"{source.path / WEIGHTS}: has no tensor {absent[0]}, of which {where} tells")
        state = {name: tensors[full].float() for name, full in names.items()}
        require_finite(state, str(source.path / WEIGHTS))
        network.load_state_dict(state, strict=True, assign=True)
    except (ValueError, TypeError, KeyError, RuntimeError, AttributeError, AssertionError) as error:
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        raise CheckpointError(f"{where}: the network that it describes can't be built or filled: {reason}") from error
    network.encoder_latent_input_proj.register_forward_pre_hook(_in_precision)
    return network.eval(), set(names.values())


def _performed(source: Source, config: dict[str, Any]) -> tuple[int, float | None]:
    """How many steps of a chunk are performed, and the coefficient of temporal ensembling."""
    where = str(source.path / CONFIG)
    steps, ensemble = config.get("n_action_steps"), config.get("temporal_ensemble_coeff")
    if type(steps) is not int or not 1 <= steps <= config["chunk_size"]:
        raise CheckpointError(
            f"{where}: n_action_steps is {steps!r:.60}; expected 1 to chunk_size, which is {config['chunk_size']}"
        )
    if ensemble is None:
        return steps, None
    if type(ensemble) not in (int, float) or not math.isfinite(ensemble) or steps != 1:
        raise CheckpointError(
            f"{where}: temporal_ensemble_coeff is {ensemble!r:.60} with n_action_steps {steps}; ensembling takes a "
            "finite number, and asks at every step: n_action_steps 1"
        )
    return steps, float(ensemble)


def _in_precision(module: nn.Module, inputs: tuple[Tensor, ...]) -> tuple[Tensor, ...]:
    """LeRobot's latent is always float32; the proof also runs the network in float64."""
    weight = module.weight
    assert isinstance(weight, Tensor)
    return (inputs[0].type_as(weight),)


def _info(statistics: Statistics, features: _Features) -> NormaliserInfo | None:
    key, kind, size = features.vectors[0]
    module, formula = statistics.normaliser(key, kind, (size,))
    if isinstance(module, nn.Identity) or statistics.modes.get(kind) != "MEAN_STD":
        return None
    mean, deviation = (statistics.tensors[f"{key}.{name}"].float() for name in ("mean", "std"))
    return NormaliserInfo.of(mean, deviation, where=PREPROCESSOR, formula=formula)
