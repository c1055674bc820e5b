"""The picture of a replay: what was asked for and what happened."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from policy_port.motion.followed import Clip
from policy_port.report import draw_png
from policy_port.trace import Trace

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MEASURED, ASKED, FAINT = "#1f5fa8", "#d1495b", "#9fb4cc"

CLIP = "#e08a1e"
BESIDE = 12
"""Curves from which on the legend stands beside them."""
STRIDES = 3.0
"""Length of what is drawn of the joints of a walking robot [s]."""


def plot_replay(trace: Trace, *, title: str, clip: Clip | None = None) -> bytes:
    """Draw base velocity against the command, tip distance, or the way off a clip above; the joints below.

    Args:
        trace: A trace of `play`; of several environments, environment 0 is drawn.
        title: Line above the picture; none, if empty.
        clip: The motion that was followed.

    Returns:
        The PNG.
    """
    names = list(trace.header["joint_names"])
    columns = 3
    rows = -(-len(names) // columns)

    def draw(figure: Any) -> None:
        if title:
            figure.suptitle(title, fontsize=10)
        above, below = figure.subfigures(2, 1, height_ratios=[2.2, 1.15 * rows])
        if tip_distance(trace) is not None:
            _draw_distances(above.subplots(), trace)
        elif "command" in trace and _commanded(trace):
            _draw_velocities(above.subplots(1, 3), trace)
        elif clip is not None:
            _draw_following(above.subplots(), trace, clip)
        else:
            _draw_actions(above.subplots(), trace)
        _draw_joints(below, trace, clip, below.subplots(rows, columns, sharex=True, squeeze=False))
        below.supxlabel("time [s]", fontsize=8)

    return draw_png(9.6, 2.6 + 1.25 * rows, draw)


def _draw_velocities(axes: Any, trace: Trace) -> None:
    time, first = _first_episode(trace)
    linear, angular, command = (trace[key][first, 0] for key in ("base_lin_vel", "base_ang_vel", "command"))
    measured = (linear[:, 0], linear[:, 1], angular[:, 2])
    labels = ("forward velocity [m/s]", "sideways velocity [m/s]", "turning velocity [rad/s]")
    for index, (axis, values, label) in enumerate(zip(axes, measured, labels, strict=True)):
        axis.plot(time, values, color=MEASURED, linewidth=0.9, label="measured, base frame")
        axis.plot(time, command[:, index], color=ASKED, linewidth=1.2, linestyle="--", label="command")
        axis.set_title(label, fontsize=8)
        axis.set_xlabel("time [s]")
    axes[0].legend(loc="lower right", frameon=False)


def _draw_actions(axis: Axes, trace: Trace) -> None:
    """What the policy answers, where there is neither a distance nor a command."""
    time, first = _first_episode(trace)
    for values, name in zip(trace["action"][first, 0].T, trace.header["action_names"], strict=True):
        axis.plot(time, values, linewidth=0.8, label=name)
    axis.set_title("action of the first episode", fontsize=8)
    axis.set_xlabel("time [s]")
    many = len(trace.header["action_names"])
    # Beside the curves: the names of a humanoid's joints would cover them.
    place: Any = {"loc": "center left", "bbox_to_anchor": (1.0, 0.5)} if many > BESIDE else {"loc": "upper right"}
    axis.legend(
        **place, frameon=False, fontsize=5 if many > BESIDE else 6, ncols=-(-many // 15) if many > BESIDE else 2
    )


def _draw_following(axis: Axes, trace: Trace, clip: Clip) -> None:
    """How far the joints are off the clip: root mean square over all, and the worst one."""
    time, first = _first_episode(trace)
    wanted = clip_positions(trace, clip)
    error = np.abs(trace["joint_pos"][first, 0] - wanted)
    axis.plot(time, np.sqrt(np.nanmean(error**2, axis=1)), color=MEASURED, linewidth=1.0, label="root mean square")
    axis.plot(time, np.nanmax(error, axis=1), color=FAINT, linewidth=0.7, label="worst joint")
    axis.set_title("joints off the clip [rad], first episode", fontsize=8)
    axis.set_xlabel("time [s]")
    axis.set_ylim(bottom=0.0)
    axis.legend(loc="upper right", frameon=False)


def clip_positions(trace: Trace, clip: Clip) -> np.ndarray:
    """The clip's joint positions at each step of the first episode [rad], trace's order; NaN where it has none."""
    time, _ = _first_episode(trace)
    names = list(trace.header["joint_names"])
    found = np.full((len(time), len(names)), np.nan)
    for column, name in enumerate(names):
        if name in clip.motion.joint_names:
            place = clip.motion.joint_names.index(name)
            found[:, column] = clip.motion.joint_pos[clip.frames(time.astype(np.float64)), place]
    return found


def _draw_distances(axis: Axes, trace: Trace) -> None:
    distance = tip_distance(trace)
    assert distance is not None
    time, episode = trace["time"], trace["episode"]
    episodes = trace.header.get("episodes") or [{"env": 0, "episode": 0}]
    for which in episodes:
        mine = episode[:, which["env"]] == which["episode"]
        axis.plot(time[mine, which["env"]], distance[mine, which["env"]], color=FAINT, linewidth=0.5)
    time_0, first = _first_episode(trace)
    axis.plot(time_0, distance[first, 0], color=MEASURED, linewidth=1.4, label="first episode")
    axis.set_yscale("log")
    axis.set_title(f"distance to the goal [m], {len(episodes)} episodes", fontsize=8)
    axis.set_xlabel("time [s]")
    axis.legend(loc="upper right", frameon=False)


def _draw_joints(part: Any, trace: Trace, clip: Clip | None, grid: Any) -> None:
    names = list(trace.header["joint_names"])
    time, first = _first_episode(trace)
    wanted = None if clip is None else clip_positions(trace, clip)
    # Of a long walk the last strides, so that single ones can be seen.
    shown = time >= (time[-1] - STRIDES if time[-1] > 2 * STRIDES else 0.0)
    position = trace["joint_pos"][first, 0][shown]
    target = trace["target"][first, 0][shown] if "target" in trace else None
    turned = [name for name, drive in trace.header.get("driven_by", {}).items() if drive == "velocity"]
    if turned and target is not None:
        # A wheel is shown by its velocity: its position is nobody's aim.
        mine = [names.index(name) for name in turned]
        position[:, mine] = trace["joint_vel"][first, 0][shown][:, mine]
        target[:, mine] = trace["joint_velocity_target"][first, 0][shown][:, mine]
    for index, axis in enumerate(grid.flat):
        if index >= len(names):
            axis.set_visible(False)
            continue
        if target is not None:
            axis.plot(time[shown], target[:, index], color=ASKED, linewidth=0.8, label="target")
        axis.plot(time[shown], position[:, index], color=MEASURED, linewidth=0.9, label="position")
        if wanted is not None:
            axis.plot(time[shown], wanted[shown, index], color=CLIP, linewidth=1.0, linestyle="--", label="clip")
        axis.set_title(f"{names[index]} [rad{'/s' if names[index] in turned else ''}]", fontsize=7, pad=2)
    part.legend(*grid.flat[0].get_legend_handles_labels(), loc="lower right", ncols=3, frameon=False)


def _commanded(trace: Trace) -> bool:
    """Whether the policy was given a velocity command; a trace that does not say what was asked, if its base moves."""
    asked = trace.header.get("asked")
    return bool(trace["base_lin_vel"].any()) if asked is None else asked["command"] is not None


def _first_episode(trace: Trace) -> tuple[np.ndarray, np.ndarray]:
    """Times of the first episode of environment 0, and the mask of its steps."""
    first = trace["episode"][:, 0] == 0
    return trace["time"][first, 0], first


def tip_distance(trace: Trace) -> np.ndarray | None:
    """Distance from tip to goal [m], shape (steps, num_envs); None where the task has neither, or sees the goal."""
    if "tip_distance" in trace:
        return trace["tip_distance"]
    if "tip_pos" in trace and trace["goal"].shape[-1] == trace["tip_pos"].shape[-1]:
        return np.linalg.norm(trace["tip_pos"] - trace["goal"], axis=2)
    return None
