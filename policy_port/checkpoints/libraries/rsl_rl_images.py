"""RSL-RL's convolutional encoders (3.3 to 5.5): one for each observation group that is an image."""

from __future__ import annotations

import copy
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import nn

from policy_port.checkpoints.actor import ImageSpec
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.checkpoints.networks.activations import RSL_RL_ACTIVATIONS, activation_named
from policy_port.checkpoints.networks.vision import convolution, feature_count, settle_size
from policy_port.errors import CheckpointError

_PADDED = ("zeros", "reflect", "replicate", "circular")
_KEYS = frozenset(
    [
        *("output_channels", "kernel_size", "stride", "dilation", "padding", "norm", "activation", "max_pool"),
        *("global_pool", "flatten"),
    ]
)


@dataclass(frozen=True, kw_only=True)
class Encoders:
    """The encoders of a network."""

    images: tuple[ImageSpec, ...]
    modules: tuple[nn.Module, ...]
    vector_size: int
    """Width of the observation vector beside the images."""
    described: tuple[str, ...]
    notes: tuple[str, ...]


def has_encoders(bag: TensorBag, prefix: str) -> bool:
    """Whether the network sees."""
    return any(name.startswith(prefix) for name in bag.names)


def take_encoders(
    bag: TensorBag,
    prefix: str,
    settings: object,
    groups: tuple[str, ...],
    *,
    features: int,
    vector_size: int | None,
    sizes: Mapping[str, tuple[int, int]],
) -> Encoders:
    """Build the encoders, whose features stand behind the vector in the order of the observation groups.

    Args:
        bag: The file's tensors.
        prefix: Prefix of the encoders' tensors, before the group's name.
        settings: agent.yaml's cnn_cfg; strides and padding are nowhere else.
        groups: The network's observation groups in order, where agent.yaml names them.
        features: Width of what the perceptron reads.
        vector_size: Width of the observation vector, where a normaliser says it.
        sizes: Sizes that the user states.
    """
    where = bag.where
    found = list(dict.fromkeys(name[len(prefix) :].split(".")[0] for name in bag.names if name.startswith(prefix)))
    order = [name for name in groups if name in found]
    names = order if set(order) == set(found) else found
    if not isinstance(settings, Mapping) or not settings:
        raise CheckpointError(
            f"{where}: the network sees ({', '.join(found)}), and the strides and padding of its convolutions are not "
            "in the file. Put the run's params/agent.yaml beside it; its cnn_cfg says"
        )
    images, modules, notes = [], [], []
    for name in names:
        build = _Builder(bag, f"{prefix}{name}", _settings_of(name, settings, where))
        rest = None if vector_size is None or len(names) > 1 else features - vector_size
        height, width, note = build.size(name, rest, sizes)
        modules.append(build.encoder((height, width)))
        size = {"height": height, "width": width, "channels": build.channels}
        images.append(ImageSpec(name=name, scale=1.0, layout="nchw", dtype="float32", **size))
        notes.append(note)
    counts = [
        feature_count(copy.deepcopy(module).to("meta"), port.channels, port.height, port.width)
        for module, port in zip(modules, images, strict=True)
    ]
    left = features - sum(counts)
    if 0 in counts or left < 1 or (vector_size is not None and left != vector_size):
        seen = ", ".join(f"{port} {count}" for port, count in zip(images, counts, strict=True))
        raise CheckpointError(
            f"{where}: the perceptron reads {features} values, of which the images give {sum(counts)} ({seen}) and "
            f"the vector {vector_size or 'the rest'}; that does not fit. Check agent.yaml's cnn_cfg and the images of "
            "the contract"
        )
    described = [f"{port}: {module}" for port, each in zip(images, modules, strict=True) for module in each]
    return Encoders(
        images=tuple(images),
        modules=tuple(modules),
        vector_size=left,
        described=tuple(described),
        notes=tuple(notes),
    )


def _settings_of(name: str, settings: Mapping[Any, Any], where: str) -> Mapping[str, Any]:
    """One encoder's part of cnn_cfg, which may be one for all."""
    shared = not all(isinstance(value, Mapping) for value in settings.values())
    own = settings if shared else settings.get(name)
    if not isinstance(own, Mapping):
        raise CheckpointError(
            f"{where}: agent.yaml's cnn_cfg has no entry {name}; it has {', '.join(map(str, settings))}"
        )
    if not re.fullmatch(r"[A-Za-z_]\w*", name):
        raise CheckpointError(f"{where}: observation group '{name}' can't be the name of an input")
    return own


class _Builder:
    """One encoder; its padding depends on the size of the image."""

    def __init__(self, bag: TensorBag, prefix: str, settings: Mapping[str, Any]) -> None:
        self._bag = bag
        self._prefix = prefix
        self._settings = settings
        unknown = sorted(set(map(str, settings)) - _KEYS)
        norm = _each(settings.get("norm", "none"))
        if unknown or set(map(str, norm)) - {"none"} or settings.get("flatten", True) is not True:
            what = f"the setting {unknown[0]}" if unknown else f"norm {norm[0]}" if norm[0] != "none" else "no flatten"
            raise CheckpointError(f"{bag.where}: agent.yaml's cnn_cfg has {what}, which is not supported")
        pattern = re.compile(re.escape(prefix) + r"\.(\d+)\.weight")
        self._indices = sorted(int(match[1]) for name in bag.names if (match := pattern.fullmatch(name)))
        if not self._indices:
            raise CheckpointError(f"{bag.where}: {prefix} has no convolutions")
        weight = bag.take_weight(f"{prefix}.{self._indices[0]}.weight")
        self.channels = weight.shape[1] if weight.ndim == 4 else 0

    def size(self, name: str, wanted: int | None, sizes: Mapping[str, tuple[int, int]]) -> tuple[int, int, str]:
        """Height and width of the image and how they are known."""
        if wanted is None or self._padded:
            if name not in sizes:
                raise CheckpointError(
                    f"{self._bag.where}: the size of image {name} is not in the file and does not follow from the "
                    "weights alone. Export it with a contract that states the image's height and width"
                )
            return (*sizes[name], f"image {name}: {sizes[name][0]} x {sizes[name][1]}, as the contract says")
        return settle_size(self.encoder((64, 64)), self.channels, wanted, name, sizes, self._bag.where)

    @property
    def _padded(self) -> bool:
        return self._settings.get("padding", "none") in _PADDED

    def encoder(self, size: tuple[int, int]) -> nn.Sequential:
        """Build the network for images of one size."""
        activation = activation_named(str(self._settings.get("activation", "elu")), "cnn_cfg", RSL_RL_ACTIVATIONS)
        mode = self._settings["padding"] if self._padded else "zeros"
        modules: list[nn.Module] = []
        for place, index in enumerate(self._indices):
            stride, dilation = (_number(self._settings.get(key, 1), place) for key in ("stride", "dilation"))
            kernel = self._bag.take_weight(f"{self._prefix}.{index}.weight").shape[-1]
            padding = _padding(size, kernel, stride, dilation) if self._padded else (0, 0)
            layer = convolution(
                self._bag,
                f"{self._prefix}.{index}",
                stride=stride,
                padding=padding,
                dilation=dilation,
                padding_mode=mode,
            )
            modules += [layer, activation()]
            pooled = bool(_number(self._settings.get("max_pool", False), place))
            modules += [nn.MaxPool2d(3, 2, 1)] if pooled else []
            size = _after(size, kernel, stride, dilation, padding, pooled)
        match self._settings.get("global_pool", "none"):
            case "max":
                modules.append(nn.AdaptiveMaxPool2d((1, 1)))
            case "avg":
                modules.append(nn.AdaptiveAvgPool2d((1, 1)))
        return nn.Sequential(*modules, nn.Flatten())


def _each(value: Any) -> list[Any]:
    return list(value) if isinstance(value, list | tuple) else [value]


def _number(value: Any, place: int) -> int:
    entries = _each(value)
    number = entries[place] if len(entries) > 1 else entries[0]
    if not isinstance(number, int) or not 0 <= number <= 1024:
        raise CheckpointError(f"agent.yaml's cnn_cfg: {number!r} is no stride, dilation or max_pool")
    return number


def _padding(size: tuple[int, int], kernel: int, stride: int, dilation: int) -> tuple[int, int]:
    """Pad so that a stride divides the size, as RSL-RL does: half of what is missing, rounded up."""
    reach = dilation * (kernel - 1) + 1
    height, width = (-((side % stride + stride - reach) // 2) for side in size)
    return height, width


def _after(
    size: tuple[int, int], kernel: int, stride: int, dilation: int, padding: tuple[int, int], pooled: bool
) -> tuple[int, int]:
    reach = dilation * (kernel - 1) + 1
    height, width = ((side + 2 * pad - reach) // max(stride, 1) + 1 for side, pad in zip(size, padding, strict=True))
    return (-(-height // 2), -(-width // 2)) if pooled else (height, width)
