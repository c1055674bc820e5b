"""Networks that see: pixels, convolutional encoders, and what an encoder's weights say about the size of an image."""

from __future__ import annotations

import bisect
import copy
from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from policy_port.checkpoints.actor import Actor, ImageSpec
from policy_port.checkpoints.files.tensors import TensorBag
from policy_port.errors import CheckpointError

LARGEST_SIDE = 512
"""Square images up to this side are tried where the weights leave the size open."""


class Pixels(nn.Module):
    """An image as the network computes with it: floating point, channels first, divided where the library divides."""

    def __init__(self, *, channels_last: bool, divisor: float | None) -> None:
        super().__init__()
        self.channels_last = channels_last
        self.divisor = divisor

    def forward(self, image: Tensor, obs: Tensor) -> Tensor:
        """Prepare `image`; `obs` says in which precision the network runs."""
        values = image.type_as(obs)
        if self.divisor is not None:
            values = values / self.divisor
        return values.permute(0, 3, 1, 2) if self.channels_last else values


class Eye(NamedTuple):
    """An image and its way into the network."""

    image: ImageSpec
    pixels: Pixels
    encoder: nn.Module
    """From pixels to features."""


class ImageActor(Actor):
    """An encoder for each image and one for the vector; their features side by side go through layers and head."""

    def __init__(
        self,
        *,
        eyes: Sequence[Eye],
        vector: nn.Module,
        vector_first: bool,
        layers: nn.Sequential,
        head: nn.Module,
        obs_size: int,
        action_size: int,
    ) -> None:
        super().__init__()
        self.images = tuple(eye.image for eye in eyes)
        self.pixels = nn.ModuleList(eye.pixels for eye in eyes)
        self.encoders = nn.ModuleList(eye.encoder for eye in eyes)
        self.vector = vector
        self.vector_first = vector_first
        self.layers = layers
        self.head = head
        self.obs_size = obs_size
        self.action_size = action_size
        self.state_names = ()
        self.state_shapes = ()

    def forward(self, obs: Tensor, *images: Tensor) -> tuple[Tensor, ...]:
        """Compute the actions; there is no state."""
        seen = [
            encoder(pixels(image, obs))
            for pixels, encoder, image in zip(self.pixels, self.encoders, images, strict=True)
        ]
        own = self.vector(obs)
        features = torch.cat([own, *seen] if self.vector_first else [*seen, own], dim=1)
        return (self.head(self.layers(features)),)


def convolution(
    bag: TensorBag,
    name: str,
    *,
    stride: int,
    padding: tuple[int, int] = (0, 0),
    dilation: int = 1,
    padding_mode: Literal["zeros", "reflect", "replicate", "circular"] = "zeros",
) -> nn.Conv2d:
    """A convolution that holds exactly the tensors called `name`."""
    weight = bag.take_weight(f"{name}.weight")
    if weight.ndim != 4:
        raise CheckpointError(f"{bag.where}: {name}.weight has shape {tuple(weight.shape)}, not that of a convolution")
    bias = bag.take_weight(f"{name}.bias") if bag.has(f"{name}.bias") else None
    if bias is not None and tuple(bias.shape) != (weight.shape[0],):
        raise CheckpointError(f"{bag.where}: {name}.bias has shape {tuple(bias.shape)} for {weight.shape[0]} channels")
    layer = nn.Conv2d(
        weight.shape[1],
        weight.shape[0],
        (weight.shape[2], weight.shape[3]),
        stride=stride,
        padding=padding,
        dilation=dilation,
        padding_mode=padding_mode,
        bias=bias is not None,
        device="meta",
    )
    layer.weight = nn.Parameter(weight, requires_grad=False)
    if bias is not None:
        layer.bias = nn.Parameter(bias, requires_grad=False)
    return layer


def feature_count(encoder: nn.Module, channels: int, height: int, width: int) -> int:
    """How many features an encoder computes from an image of this size; 0 when it is too small."""
    try:
        return int(encoder(torch.empty(1, channels, height, width, device="meta")).shape[1])
    except RuntimeError:
        return 0


def settle_size(
    encoder: nn.Module, channels: int, wanted: int, name: str, given: Mapping[str, tuple[int, int]], where: str
) -> tuple[int, int, str]:
    """Tell the size of an image from the number of features that the next layer reads.

    Args:
        encoder: From an image (batch, channels, height, width) to features (batch, n).
        channels: Channels of the image.
        wanted: Number of features.
        name: Name of the image.
        given: Sizes that the user states.
        where: The file.

    Returns:
        Height, width, and a note on how sure that is.
    """
    shape_only = copy.deepcopy(encoder).to("meta")
    if name in given and feature_count(shape_only, channels, *given[name]) == wanted:
        height, width = given[name]
        return height, width, f"image {name}: {height} x {width}, as the contract says; the weights fit"
    sides = range(4, LARGEST_SIDE + 1)

    def features(side: int) -> int:
        return feature_count(shape_only, channels, side, side)

    # A larger image never gives fewer features.
    sides = sides[bisect.bisect_left(sides, wanted, key=features) : bisect.bisect_right(sides, wanted, key=features)]
    if not sides:
        stated = f"{given[name][0]} x {given[name][1]} of the contract does not" if name in given else "none"
        raise CheckpointError(
            f"{where}: the size of image {name} is not in the file, and of all square images up to {LARGEST_SIDE} "
            f"pixels a side none gives the {wanted} features that the next layer reads ({stated}). Export it with a "
            "contract that states the image's height and width"
        )
    side = max(sides, key=lambda side: side & -side)
    span = f"squares of {sides[0]} to {sides[-1]} pixels fit the weights" if len(sides) > 1 else "no other square fits"
    return side, side, f"image {name}: {side} x {side} is taken; the file does not say, {span}"
