"""The sample that a new port stores: a short rollout of what was written, drawn once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from policy_port.contract.image import ImageInput
from policy_port.errors import PortError
from policy_port.port.sample import RunFile, Sample
from policy_port.proof.image_sampling import draw_images

STEPS, BATCH = 8, 3


def draw(run: RunFile, width: int, seed: int, images: Sequence[ImageInput] = ()) -> Sample:
    """Run a file on normally distributed observations, with some rows reset on the way.

    Raises:
        PortError: When an action is NaN or infinite.
    """
    rng = np.random.default_rng(seed)
    obs = rng.standard_normal((STEPS, BATCH, width)).astype(np.float32)
    reset = rng.random((STEPS, BATCH)) < 0.25
    reset[0] = True
    halves = zip(
        draw_images(images, "smooth", STEPS // 2, BATCH, rng),
        draw_images(images, "normal", STEPS - STEPS // 2, BATCH, rng),
        strict=True,
    )
    pixels = {image.name: np.concatenate(pair) for image, pair in zip(images, halves, strict=True)}
    actions = run(obs, reset, pixels)
    if not np.isfinite(actions).all():
        raise PortError("the exported policy gives NaN or infinite actions for ordinary observations")
    return Sample(obs=obs, reset=reset, actions=actions, images=pixels)
