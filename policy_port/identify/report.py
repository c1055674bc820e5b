"""The page of an identification: what was found, how well it predicts, and what the model lacks."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from policy_port.dynamics.document import Dynamics
from policy_port.identify.identify import Error, Identified
from policy_port.identify.parameters import COMMON_KEYS, JOINT_KEYS
from policy_port.report import Picture, Report, Table, draw_png

UNITS = {
    "armature": "kg m^2",
    "damping": "N m s/rad",
    "friction": "N m",
    "stiffness": "N m/rad",
    "drive_damping": "N m s/rad",
    "effort_limit": "N m",
    "backlash": "rad",
    "delay": "s",
    "offset": "rad",
    "gain": "",
    "payload_mass": "kg",
    "gravity_tilt_x": "rad",
    "gravity_tilt_y": "rad",
}
COLOURS = {"measured": "#1c2430", "identified": "#1f77b4", "stock": "#d62728", "lag": "#9a9a9a"}


def summary(found: Identified, joints: Sequence[str]) -> str:
    """What is printed: errors by joint at the fit's horizon, parameters that are known, pairs, misfits."""
    lines = [_verdict(found), ""]
    for error in found.errors:
        who = "held out" if found.held_out else "fitted (nothing was held out)"
        lines.append(f"{who}, {error.horizon:g} s ahead, RMSE [rad], median of recordings: {_medians(error)}")
    chosen = min(found.errors, key=lambda one: abs(one.horizon - 0.5))
    width = max(len(joint) for joint in joints)
    lines += ["", f"{'by joint, ' + format(chosen.horizon, 'g') + ' s':<{width}}  " + "  ".join(chosen.joints)]
    for column, joint in enumerate(joints):
        lines.append(
            f"{joint:<{width}}  "
            + "  ".join(f"{values[column]:{len(name)}.4f}" for name, values in chosen.joints.items())
        )
    judged = zip(found.estimates.space.parameters, found.estimates.identified, strict=True)
    unknown = [item.name for item, known in judged if not known]
    lines += [
        "",
        f"identified: {len(found.estimates.identified) - len(unknown)} of {len(found.estimates.identified)} parameters",
    ]
    if unknown:
        lines.append(f"not identified by these recordings: {', '.join(unknown)}")
    lines += found.estimates.together
    lines += [f"misfit: {item}" for item in found.misfits]
    lines += [f"accepted: {one.name}: {one}" for one in found.accepted]
    lines += [str(found.learned)] if found.learned else []
    return "\n".join(lines) + "\n"


def make_report(
    found: Identified, dynamics: Dynamics, robot: Path, joints: Sequence[str], settings: dict[str, str]
) -> Report:
    """The page."""
    return Report(
        title=f"Dynamics of {robot.name}, identified in {settings.get('plant', 'a simulator')}",
        verdict=_verdict(found),
        tone="good" if _better(found) else "bad",
        warnings=(
            *(() if found.held_out else ("Nothing was held out: errors are of what was fitted.",)),
            *(f"Accepted: {one.name}: {one}." for one in found.accepted),
            *(f"Misfit: {item}. Intervals are of a model that is wrong there." for item in found.misfits),
            *(f"{said}." for said in found.estimates.together),
            *((f"{found.learned}.",) if found.learned else ()),
        ),
        tables=(*_error_tables(found, joints), _parameters(found, dynamics)),
        pictures=(_paths(found, joints), _errors_against(found, joints), _horizons(found)),
        settings=settings,
        files={robot.name: robot},
    )


def _better(found: Identified) -> bool:
    return all(error.median("identified") < min(error.median("stock"), error.median("lag")) for error in found.errors)


def _medians(error: Error) -> str:
    return ", ".join(f"{name} {error.median(name):.4f}" for name in error.recordings)


def _verdict(found: Identified) -> str:
    error = min(found.errors, key=lambda one: abs(one.horizon - 0.5))
    ratio = error.median("stock") / max(error.median("identified"), 1e-12)
    kind = "held-out" if found.held_out else "fitted"
    return (
        f"{error.horizon:g} s ahead the {kind} recordings are predicted to {error.median('identified'):.2g} rad "
        f"(median RMSE), {ratio:.1f} times better than stock ({error.median('stock'):.2g}); a first-order lag does "
        f"{error.median('lag'):.2g}."
    )


def _error_tables(found: Identified, joints: Sequence[str]) -> list[Table]:
    models = tuple(found.errors[0].joints)
    rows = [
        (f"{error.horizon:g} s", "median of recordings", *(f"{error.median(name):.4f}" for name in models))
        for error in found.errors
    ]
    rows += [
        (f"{error.horizon:g} s", joint, *(f"{error.joints[name][column]:.4f}" for name in models))
        for error in found.errors
        for column, joint in enumerate(joints)
    ]
    note = "Root mean square of prediction less reading. Stock: robot file and contract as they are."
    return [
        Table(title="Errors [rad] by horizon and joint", head=("horizon", "of", *models), rows=tuple(rows), note=note)
    ]


def _parameters(found: Identified, dynamics: Dynamics) -> Table:
    estimates = found.estimates
    said = dict(dynamics.estimates())
    rows = []
    for index, item in enumerate(estimates.space.parameters):
        entry = said.get(item.name)
        if entry is None:
            continue
        near, drawn = (
            f"{ends[0]:.3g} to {ends[1]:.3g}" for ends in (estimates.gauss_newton[index], estimates.bootstrap[index])
        )
        known = (
            "yes"
            if entry.identified
            else "no: keeps its prior"
            if item.name in estimates.kept
            else "no: only with others"
        )
        rows.append(
            (item.name, f"{entry.value:g} {UNITS[item.key]}", known, near, drawn, f"{item.prior:g}", item.source)
        )
    assert {*JOINT_KEYS, *COMMON_KEYS} == UNITS.keys()
    return Table(
        title="Parameters",
        head=(
            "parameter",
            "value",
            "identified",
            "95 % Gauss-Newton",
            "95 % bootstrap",
            "prior",
            "source of the prior",
        ),
        rows=tuple(rows),
        note="Identified: the data narrow it to less than half of its prior's spread. The written interval is the "
        "wider of the two at each end.",
    )


def _paths(found: Identified, joints: Sequence[str]) -> Picture:
    shown = found.shown
    # The stretch in which most happens.
    chosen = int(np.ptp(shown.measured, axis=1).sum(axis=1).argmax())

    def draw(figure: Any) -> None:
        axes = np.atleast_1d(figure.subplots(-(-len(joints) // 2), 2, sharex=True)).ravel()
        for joint, (axis, name) in enumerate(zip(axes, joints, strict=False)):
            axis.plot(
                shown.after[chosen], shown.measured[chosen, :, joint], color=COLOURS["measured"], label="measured"
            )
            for model, path in found.predicted.items():
                axis.plot(shown.after[chosen], path[chosen, :, joint], color=COLOURS[model], lw=1, label=model)
            axis.set(title=name, ylabel="rad")
        axes[0].legend(fontsize=7)

    name = shown.recordings[int(shown.of[chosen])].name
    return Picture(
        name="paths",
        title=f"Measured and predicted from one measured state: {Path(name).name}",
        png=draw_png(9.0, 1.6 * -(-len(joints) // 2) + 0.6, draw),
        text="One curve per joint of what was measured, and one for each model's prediction.",
    )


def _errors_against(found: Identified, joints: Sequence[str]) -> Picture:
    shown, random = found.shown, np.random.default_rng(0)
    error = found.predicted["identified"] - shown.measured
    speed = np.gradient(shown.measured, axis=1) / np.gradient(shown.after, axis=1)[..., None]
    load = found.predicted["lag"] - shown.measured

    def draw(figure: Any) -> None:
        axes = figure.subplots(2, len(joints), squeeze=False)
        for joint, name in enumerate(joints):
            rows = random.permutation(error[..., joint].size)[:1500]
            for axis, signal, label in (
                (axes[0, joint], speed, "speed [rad/s]"),
                (axes[1, joint], load, "lag's error [rad]"),
            ):
                axis.plot(signal[..., joint].ravel()[rows], error[..., joint].ravel()[rows], ".", ms=1.5)
                axis.set(xlabel=label, title=name)
        axes[0, 0].set_ylabel("error [rad]")
        axes[1, 0].set_ylabel("error [rad]")

    return Picture(
        name="errors",
        title="Errors of the identified model against speed and load: friction that is missing shows as a shape",
        png=draw_png(1.7 * len(joints) + 0.6, 4.2, draw),
        text="Dots of errors over speed, and over how far a joint stays behind a lag without friction, by joint.",
    )


def _horizons(found: Identified) -> Picture:
    def draw(figure: Any) -> None:
        axis = figure.subplots()
        for model in found.errors[0].recordings:
            axis.plot(
                [error.horizon for error in found.errors],
                [error.median(model) for error in found.errors],
                "o-",
                label=model,
            )
        axis.set(xlabel="horizon [s]", ylabel="median RMSE [rad]", ylim=(0, None))
        axis.legend()

    return Picture(
        name="horizons",
        title="Error by horizon",
        png=draw_png(5.0, 3.0, draw),
        text="One rising curve per model.",
    )
