"""What lies between the network and the joints, or the robot and the network: filters, delays, the inner loop.

An action goes this way: raw_clip, delay, filter of raw, then scale, offset and clip of its term, filter of target, and
at last the physics steps between two control steps. An observation term goes this way: clip, scale, offset, the clip
of the observation, delay, history.
"""

from __future__ import annotations

import functools
import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from policy_port.contract.joints import Positive
from policy_port.contract.yaml_file import Strict

Steps = Annotated[int, Field(ge=0, le=1000)]


class ObservationDelay(Strict):
    """How many control steps late a term is shown, and what it shows before so many have passed since reset."""

    steps: Steps
    """Control steps; the term's number is that of so many steps ago."""
    fill: Literal["first", "zero"]
    """first: what was first observed after reset, as mjlab's and Isaac Lab's buffers do. zero: a number of zero."""


class ActionDelay(Strict):
    """How late an action takes effect: by control steps, or by physics steps between them."""

    steps: Steps | None = None
    """Control steps; delays the raw action, behind raw_clip."""
    physics_steps: Steps | None = None
    """Physics steps; delays the target, in the inner loop, as Isaac Lab's and mjlab's delayed actuators do. What is
    recorded and observed as target is the one before this delay."""
    fill: Literal["zero", "start", "first"]
    """What takes effect before the first delayed one. zero: a raw action of zero; for physics_steps, start: the joint
    stays at its start position. first: the first one, at once."""

    @model_validator(mode="after")
    def _one_of_two(self) -> ActionDelay:
        if (self.steps is None) == (self.physics_steps is None):
            raise ValueError("a delay is stated in steps (control steps) or in physics_steps, one of the two")
        wrong = "start" if self.physics_steps is None else "zero"
        if self.fill == wrong:
            right = "zero" if self.physics_steps is None else "start"
            of = "steps delays raw actions" if self.physics_steps is None else "physics_steps delays targets"
            raise ValueError(f"fill is {wrong}, but {of}: fill: {right}, or fill: first")
        return self

    def seconds(self, timestep: float, decimation: int) -> float:
        """How late that is [s], at a physics timestep [s] and so many of them in a control step."""
        return ((self.steps or 0) * decimation + (self.physics_steps or 0)) * timestep


class Filter(Strict):
    """A filter of actions over control steps."""

    kind: str
    """first_order or moving_average."""
    of: Literal["raw", "target"]
    """raw: the raw action, behind raw_clip and delay. target: the joint target, behind scale, offset and clip."""
    fill: Literal["zero", "start", "default", "first"] | None = None
    """What the filter holds at reset. For `of: raw`, zero (taken, if not given). For `of: target`, start: the joint's
    measured position (taken, if not given), or default: its default position; both are zero for a velocity or an
    effort. first: the first number that it is given, for both."""

    @model_validator(mode="after")
    def _fill_fits(self) -> Filter:
        fitting = ("zero", "first") if self.of == "raw" else ("start", "default", "first")
        if self.fill is not None and self.fill not in fitting:
            raise ValueError(f"fill is {self.fill}, but a filter of: {self.of} holds {' or '.join(fitting)} at reset")
        return self

    @property
    def held(self) -> str:
        """What it holds at reset: zero, start, default or first."""
        return self.fill or ("zero" if self.of == "raw" else "start")


class FirstOrder(Filter):
    """A low-pass filter: out = alpha * new + (1 - alpha) * out before."""

    kind: Literal["first_order"]
    alpha: Annotated[float, Field(gt=0.0, le=1.0)] | None = None
    """Weight of the new number; 1 filters nothing."""
    cutoff_hz: Positive | None = None
    """Cutoff frequency [Hz] in place of alpha, which is then 1 - exp(-2 pi cutoff_hz * control period)."""

    @model_validator(mode="after")
    def _one_of_two(self) -> FirstOrder:
        if (self.alpha is None) == (self.cutoff_hz is None):
            raise ValueError("a first_order filter is stated by alpha (weight of the new) or cutoff_hz, one of the two")
        return self

    def weight(self, control_dt: float) -> float:
        """Weight of the new number, at this control period [s]."""
        if self.alpha is not None:
            return self.alpha
        assert self.cutoff_hz is not None
        return -math.expm1(-2.0 * math.pi * self.cutoff_hz * control_dt)


class MovingAverage(Filter):
    """The mean of the last numbers, the new one included; before so many were given, with what it held at reset."""

    kind: Literal["moving_average"]
    steps: Annotated[int, Field(ge=2, le=1000)]
    """How many control steps are averaged."""


ActionFilter = Annotated[FirstOrder | MovingAverage, Field(discriminator="kind")]


def observation_delay(delay: int | ObservationDelay) -> ObservationDelay:
    """A term's delay as a whole; a number alone shows the first observation until it has passed."""
    return _of_the_first(delay) if isinstance(delay, int) else delay


@functools.cache
def _of_the_first(steps: int) -> ObservationDelay:
    return ObservationDelay(steps=steps, fill="first")


def action_delay(delay: int | ActionDelay) -> ActionDelay:
    """An action's delay as a whole; a number alone is of control steps, with a raw action of zero before."""
    return ActionDelay(steps=delay, fill="zero") if isinstance(delay, int) else delay
