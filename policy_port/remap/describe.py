"""A mapping and a remap as tables that a person can check against the robot."""

from __future__ import annotations

from collections.abc import Sequence

from policy_port.contract.layout import observation_slots
from policy_port.contract.mapping import RobotMapping
from policy_port.remap.affine import CONSTANT
from policy_port.remap.build import Remap

HEADER = ("source joint", "target joint", "source index", "target index", "sign", "scale", "offset", "unit")


def joint_rows(mapping: RobotMapping) -> list[tuple[str, ...]]:
    """One row per joint of either side, in the source's order; see HEADER for the columns."""
    rows: list[tuple[str, ...]] = []
    there = dict(mapping.pairs)
    for i, name in enumerate(mapping.source_joint_names):
        if name in mapping.only_in_source:
            position = mapping.only_in_source[name].position
            rows.append((name, "-", str(i), "-", "", "", f"shown at {position:g}", ""))
            continue
        rule, target = mapping.conversion(name), there[name]
        unit = rule.source_unit if rule.target_unit == rule.source_unit else f"{rule.source_unit} -> {rule.target_unit}"
        index = mapping.target_joint_names.index(target)
        rows.append((name, target, str(i), str(index), f"{rule.sign:+d}", f"{rule.scale:g}", f"{rule.offset:g}", unit))
    for i, name in enumerate(mapping.target_joint_names):
        if name in mapping.only_in_target:
            held = mapping.only_in_target[name]
            rows.append(("-", name, "-", str(i), "", "", f"held at {held.position:g}", held.unit))
    return rows


def term_lines(remap: Remap) -> list[str]:
    """Where each observation term of the source is read from on the target's side, a line each."""
    lines = []
    slots = observation_slots(remap.source)
    for term in remap.source.observation.terms:
        mine = [i for i, slot in enumerate(slots) if slot.term == term.label]
        read = remap.observation.index[mine]
        if (read == CONSTANT).all():
            values = ", ".join(f"{remap.observation.offset[i]:g}" for i in mine[:4])
            lines.append(f"{term.label}: constant {values}{', ...' if len(mine) > 4 else ''} (the target lacks it)")
            continue
        words = f"{term.label} [{_ranges(mine)}] <- target [{_ranges([int(i) for i in read if i != CONSTANT])}]"
        if (read == CONSTANT).any():
            words += f", {int((read == CONSTANT).sum())} constant"
        if (remap.observation.scale[mine] != 1.0).any() or (remap.observation.offset[mine] != 0.0).any():
            words += ", rescaled"
        lines.append(words)
    used = set(remap.observation.index.tolist())
    ignored = [name for i, name in enumerate(remap.observation.inputs) if i not in used]
    if ignored:
        lines.append(f"ignored on the target's side: {', '.join(ignored)}")
    return lines


def table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A plain text table with aligned columns."""
    widths = [max(len(row[i]) for row in (header, *rows)) for i in range(len(header))]
    lines = ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) for row in (header, *rows)]
    lines.insert(1, "  ".join("-" * width for width in widths))
    return "\n".join(line.rstrip() for line in lines)


def _ranges(indices: list[int]) -> str:
    """Indices in their order, runs shortened: "12-14, 20, 17-18"."""
    runs: list[list[int]] = []
    for i in indices:
        if runs and i == runs[-1][-1] + 1:
            runs[-1].append(i)
        else:
            runs.append([i])
    return ", ".join(str(run[0]) if len(run) == 1 else f"{run[0]}-{run[-1]}" for run in runs)
