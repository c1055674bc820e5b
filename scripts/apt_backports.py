"""Print an apt source for a Debian release's backports, derived from the sources that the machine has.

The mirror, the components and the key are the ones already configured, whichever they are; only the suite's name
changes. Needs nothing but Python, because it runs before anything is installed.
"""

from __future__ import annotations

import argparse
import re
import sys
from pathlib import Path


def derive(text: str, deb822: bool, codename: str) -> str:
    """Return the sources of `codename`-backports that correspond to configured ones.

    Args:
        text: A configured source file.
        deb822: Whether it is written in stanzas (`.sources`) rather than in lines (`.list`).
        codename: Debian's release name, such as "bookworm".

    Returns:
        The derived file, "" where `text` holds no source of the release itself.
    """
    return _derive_stanzas(text, codename) if deb822 else _derive_lines(text, codename)


def _derive_stanzas(text: str, codename: str) -> str:
    derived = []
    for stanza in re.split(r"\n[ \t]*\n", text):
        lines = [line for line in stanza.splitlines() if line.strip() and not line.startswith("#")]
        fields = {key.strip().lower(): value.split() for key, _, value in (line.partition(":") for line in lines)}
        disabled = fields.get("enabled", ["yes"])[0].lower() in ("no", "false", "0")
        if disabled or "deb" not in fields.get("types", []) or codename not in fields.get("suites", []):
            continue
        changed = {"types": "Types: deb", "suites": f"Suites: {codename}-backports"}
        derived.append("\n".join(changed.get(line.partition(":")[0].strip().lower(), line) for line in lines))
    return "\n\n".join(derived) + "\n" if derived else ""


def _derive_lines(text: str, codename: str) -> str:
    # A line is: deb [options] address suite components, the options in brackets being left out mostly.
    line = re.compile(
        rf"^(deb[ \t]+(?:\[[^\]\n]*\][ \t]+)?[^\s#]+[ \t]+){re.escape(codename)}((?:[ \t]+[^\s#]+)+)", re.MULTILINE
    )
    return "".join(f"{head}{codename}-backports{tail}\n" for head, tail in line.findall(text))


def configured(folder: Path) -> list[Path]:
    """Return the source files that apt reads from its folder, the main list first."""
    parts = sorted((folder / "sources.list.d").glob("*"))
    candidates = [folder / "sources.list", *parts]
    return [path for path in candidates if path.suffix in (".list", ".sources") and path.is_file()]


def main() -> int:
    parser = argparse.ArgumentParser(description="Derive an apt source for a Debian release's backports.")
    parser.add_argument("codename", help="the Debian release, such as bookworm")
    parser.add_argument("out", type=Path, help="where to write it, without the suffix that tells its format")
    parser.add_argument("--apt", type=Path, default=Path("/etc/apt"), help="apt's folder")
    arguments = parser.parse_args()
    for path in configured(arguments.apt):
        text = path.read_text(encoding="utf-8")
        derived = derive(text, path.suffix == ".sources", arguments.codename)
        if derived:
            out = Path(f"{arguments.out}{path.suffix}")
            out.write_text(derived, encoding="utf-8")
            print(out)
            return 0
    print(f"no apt source of {arguments.codename} in {arguments.apt}", file=sys.stderr)
    return 1


if __name__ == "__main__":
    sys.exit(main())
