"""Give every command files that nobody should trust, and count how it ends.

.venv/bin/python benchmarks/hostile.py                 the fixed inputs, then 500 drawn ones
.venv/bin/python benchmarks/hostile.py --only trace    one family of either

Good: exit 0 to 3 without a traceback (2 and 3 for the fixed inputs, every one of which is wrong), within the bounds,
and nothing written but what --out names. Each command runs in a process of its own, forked from one that has imported
everything, in a new folder that holds its input and nothing else.
"""

from __future__ import annotations

import argparse
import shutil
import sys
import tempfile
import warnings
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.hostile_case import Case, Ended, run
from benchmarks.hostile_drawn import FAMILIES, draw
from benchmarks.hostile_fixed import fixed
from benchmarks.hostile_good import Good


def warm_up() -> None:
    """Import what commands import, once: a process forked from this one starts at once."""
    import gc
    import importlib
    import pkgutil

    import torch

    import policy_port

    for library in (
        "lerobot.robots.so_follower",
        "matplotlib.pyplot",
        "mujoco",
        "onnx",
        "onnxruntime",
        "torch._dynamo",
    ):
        importlib.import_module(library)
    for room in (
        "checkpoints",
        "cli",
        "compare",
        "contract",
        "descriptors",
        "export",
        "port",
        "regress",
        "verdict",
    ):
        for found in pkgutil.walk_packages([f"{policy_port.__path__[0]}/{room}"], f"policy_port.{room}."):
            importlib.import_module(found.name)

    warnings.filterwarnings("ignore", message=".*use of fork", category=DeprecationWarning)
    torch.set_num_threads(1)
    # What is looked through for garbage is copied.
    gc.freeze()


def table(results: list[Ended], codes: tuple[int, ...]) -> Iterator[str]:
    """A row per family, then a line per input that was not good."""
    families: dict[str, list[Ended]] = defaultdict(list)
    for ended in results:
        families[ended.case.family].append(ended)
    families["all"] = results
    yield "| inputs | tried | good | refused (2, 3) | slowest | most memory |"
    yield "|---|---|---|---|---|---|"
    for family, rows in families.items():
        good = sum(not row.faults(codes) for row in rows)
        refused = sum(row.code in (2, 3) for row in rows)
        slowest, most = max(row.seconds for row in rows), max(row.memory for row in rows)
        yield f"| {family} | {len(rows)} | {good} | {refused} | {slowest:.1f} s | {most >> 20} MiB |"
    yield ""
    for row in results:
        if faults := row.faults(codes):
            yield f"- {row.case.family}, {row.case.name}: {', '.join(faults)}; {' '.join(row.said.split())[-300:]}"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--drawn", type=int, default=500, help="number of inputs drawn by hypothesis")
    parser.add_argument("--no-fixed", action="store_true", help="leave the fixed inputs out")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", help="one family")
    parser.add_argument("--keep", type=Path, help="folder for the files of inputs that were not handled well")
    options = parser.parse_args()
    warm_up()
    with tempfile.TemporaryDirectory() as scratch:
        good = Good.make(Path(scratch) / "good")
        root = Path(scratch) / "case"

        def tried(case: Case) -> Ended:
            ended = run(case, root)
            if options.keep and ended.faults((0, 1, 2, 3)):
                kept = options.keep / f"{case.family}-{case.name}".replace("/", "_")
                shutil.rmtree(kept, ignore_errors=True)
                shutil.copytree(root, kept, symlinks=True, ignore=lambda *_: ["tmp", "home"])
                (kept / "args").write_text(" ".join(case.args))
            return ended

        wanted = [] if options.no_fixed else fixed(good)
        results = [tried(case) for case in wanted if options.only in (None, case.family)]
        if results:
            print("## Fixed\n", *table(results, (2, 3)), sep="\n", flush=True)
        families = [family for family in FAMILIES if options.only in (None, family)]
        drawn = []
        for family in families if options.drawn else []:
            count = -(-options.drawn // len(families))
            drawn += draw(good, family, count, options.seed, tried)
        if drawn:
            print("\n## Drawn\n", *table(drawn, (0, 1, 2, 3)), sep="\n", flush=True)
    if any(row.faults((2, 3)) for row in results) or any(row.faults((0, 1, 2, 3)) for row in drawn):
        sys.exit(1)


if __name__ == "__main__":
    main()
