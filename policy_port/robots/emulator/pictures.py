"""What the emulated cameras see: the arm in MuJoCo, or a dial per joint where there is no simulator."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable, Mapping

import numpy as np
from PIL import Image, ImageDraw

from policy_port.robots.emulator.camera import Picture, Pictures
from policy_port.robots.emulator.faults import FaultList
from policy_port.robots.emulator.lens import SceneObject, struck_lens
from policy_port.robots.emulator.options import ArmOptions, CameraSpec
from policy_port.robots.emulator.tick_map import tick_scales

Angles = Callable[[], Mapping[str, float]]
BACKGROUND, RIM, NEEDLE = (238, 240, 243), (110, 120, 135), (200, 60, 40)
COLUMNS = 3


def open_pictures(
    options: ArmOptions,
    spec: CameraSpec,
    angles: Angles,
    things: Callable[[], Mapping[str, SceneObject]],
    faults: FaultList,
) -> Callable[[], Pictures]:
    """A function that opens the pictures that fit a camera and the model.

    Args:
        options: The arm.
        spec: The camera.
        angles: Tells where every joint is [rad], by servo.
        things: Tells what is on the table.
        faults: The arm's.
    """
    if spec.view is not None:
        scales = tick_scales(options.calibration, options.mapping)

        def by_joint() -> dict[str, float]:
            return {scales[servo].joint: angle for servo, angle in angles().items()}

        def viewed() -> Pictures:
            from policy_port.robots.emulator.scene import open_scene

            return open_scene(spec, options.description, by_joint, things, faults)

        return viewed

    def through_lens() -> Pictures:
        source = _simulated(options, angles) if options.model == "mujoco" else _dials(angles)
        return Pictures(
            lambda height, width: struck_lens(spec.lens, faults, spec.name).see(source.draw(height, width)),
            source.close,
        )

    return through_lens


def _dials(angles: Angles) -> Pictures:
    return Pictures(lambda height, width: dials(angles(), height, width), lambda: None)


def dials(angles: Mapping[str, float], height: int, width: int) -> Picture:
    """One dial per joint, its needle upright at 0 rad and turning clockwise."""
    image = _rims(tuple(angles), height, width).copy()
    draw = ImageDraw.Draw(image)
    radius, places = _laid_out(len(angles), height, width)
    for angle, (x, y) in zip(angles.values(), places, strict=True):
        tip = (x + radius * math.sin(angle), y - radius * math.cos(angle))
        draw.line(((x, y), tip), fill=NEEDLE, width=max(2, round(radius / 12)))
    return np.asarray(image)


@functools.lru_cache(maxsize=8)
def _rims(names: tuple[str, ...], height: int, width: int) -> Image.Image:
    """The dials without their needles: drawing these anew would hold up the wire."""
    image = Image.new("RGB", (width, height), BACKGROUND)
    draw = ImageDraw.Draw(image)
    radius, places = _laid_out(len(names), height, width)
    for name, (x, y) in zip(names, places, strict=True):
        draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=RIM, width=2)
        draw.text((x - radius, y - height / math.ceil(len(names) / COLUMNS) / 2), name, fill=RIM)
    return image


def _laid_out(count: int, height: int, width: int) -> tuple[float, list[tuple[float, float]]]:
    """Radius and centres of so many dials [pixels]."""
    cell_width, cell_height = width / COLUMNS, height / math.ceil(count / COLUMNS)
    places = [((i % COLUMNS + 0.5) * cell_width, (i // COLUMNS + 0.5) * cell_height) for i in range(count)]
    return 0.38 * min(cell_width, cell_height), places


def _simulated(options: ArmOptions, angles: Angles) -> Pictures:
    from policy_port.plants.registry import make_plant
    from policy_port.robots.emulator.simulated import so100_setup

    scales = tick_scales(options.calibration, options.mapping)
    # A model of its own, so that drawing never holds up the wire; shadows would cost most of the frames.
    setup = so100_setup({scale.joint: 0.0 for scale in scales.values()})
    plant = make_plant("mujoco", options.description, setup, shadows=False)
    joint_pos = np.zeros((1, len(plant.joint_names)))

    def draw(height: int, width: int) -> Picture:
        for servo, angle in angles().items():
            joint_pos[0, plant.joint_names.index(scales[servo].joint)] = angle
        plant.reset(joint_pos)
        return plant.render(height, width)

    return Pictures(draw, plant.close)
