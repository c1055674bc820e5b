"""The table of what is supported, from the tables that the program itself looks things up in.

`scripts/support_table.py` prints it; `--write` puts it between the markers of docs/supported.md, and `--check` says
whether what stands there is what it prints.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from policy_port.checkpoints.libraries.lerobot import REFUSED
from policy_port.checkpoints.load import LIBRARIES, loader_of
from policy_port.descriptors.registry import KINDS

PAGE = Path(__file__).resolve().parents[1] / "docs" / "supported.md"
BEGIN, END = "<!-- supported -->\n", "<!-- /supported -->"

CONTAINERS = {
    "torch": "`.pt`, `.pth`",
    "sb3": "`.zip`",
    "torchscript": "`.pt`",
    "onnx": "`.onnx`",
    "lerobot": "a folder",
}


def rows(header: tuple[str, ...], lines: Sequence[tuple[str, ...]]) -> list[str]:
    """Return a Markdown table."""
    return [f"| {' | '.join(line)} |" for line in (header, ("---",) * len(header), *lines)]


def supported() -> str:
    """Return everything between the markers."""
    policies = [(f"`{name}`", CONTAINERS[kind], loader_of(name).SUPPORTED) for name, (kind, _) in LIBRARIES.items()]
    refused = [(f"LeRobot `{name}`", reason) for name, reason in REFUSED.items()]
    parts = [
        "## Policies",
        "",
        *rows(("`--from`", "file", "what is read"), policies),
        "",
        "Refused by name:",
        "",
        *rows(("policy", "why"), refused),
        "",
        "## Descriptors",
        "",
        *rows(("`contract import --from`", "what it is"), [(f"`{name}`", words) for name, words in KINDS.items()]),
    ]
    return "\n".join(parts) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="exit with 1 when docs/supported.md says something else")
    parser.add_argument("--write", action="store_true", help="write it into docs/supported.md")
    chosen = parser.parse_args()
    if not (chosen.check or chosen.write):
        sys.stdout.write(supported())
        return 0
    text = PAGE.read_text(encoding="utf-8")
    before, begin, rest = text.partition(BEGIN)
    inside, end, after = rest.partition(END)
    if not begin or not end:
        sys.stderr.write(f"{PAGE}: has no block between {BEGIN.strip()} and {END}\n")
        return 1
    if chosen.write:
        PAGE.write_text(before + begin + supported() + end + after, encoding="utf-8")
    elif inside != supported():
        sys.stderr.write(f"{PAGE}: is not what the program supports; run scripts/support_table.py --write\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
