"""The images of a policy that sees, held against its contract."""

from __future__ import annotations

from policy_port.checkpoints.actor import Actor
from policy_port.contract.spec import Contract
from policy_port.errors import ContractError, closest

_SCALE_TOLERANCE = 1e-6


def check_images(contract: Contract, actor: Actor, *, policy: str) -> None:
    """Hold the contract's images against those that the network reads.

    Raises:
        ContractError: Naming the image, the key, and both values.
    """
    stated = {image.name: image for image in contract.images}
    read = {image.name: image for image in actor.images}
    for name in read.keys() - stated.keys():
        raise ContractError(
            f"{policy}: the network reads the image {read[name]}, which contract '{contract.name}' does not "
            f"have{closest(name, stated) or '.'} Its images are: {', '.join(stated) or 'none'}. Add it under images"
        )
    for name in stated.keys() - read.keys():
        raise ContractError(
            f"contract '{contract.name}' has the image '{name}', which the network in {policy} does not "
            f"read{closest(name, read) or '.'} It reads: {', '.join(map(str, actor.images)) or 'no images'}"
        )
    if list(stated) != list(read):
        raise ContractError(
            f"contract '{contract.name}' lists the images {', '.join(stated)}, the network in {policy} reads "
            f"{', '.join(read)}; put them in the network's order"
        )
    for name, image in read.items():
        for key in ("height", "width", "channels", "layout", "dtype"):
            given, needed = getattr(stated[name], key), getattr(image, key)
            if given != needed:
                raise ContractError(
                    f"contract '{contract.name}': image '{name}' has {key} {given}, the network in {policy} reads "
                    f"{needed} ({image}). Correct images.{name}.{key}, or resize and crop before the network"
                )
        scale = stated[name].scale
        if image.scale is not None and abs(scale - image.scale) > _SCALE_TOLERANCE * abs(image.scale):
            raise ContractError(
                f"contract '{contract.name}': image '{name}' has scale {scale!r}, the network in {policy} multiplies "
                f"each pixel by {image.scale!r} itself. Correct images.{name}.scale"
            )
