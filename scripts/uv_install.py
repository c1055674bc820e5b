"""Runs `uv pip install` with what the user's configuration tells pip: scripts/uv_install.py UV ARGUMENT ...

uv reads no configuration of pip's. Indexes, certificates and the like are handed over in the environment, so that no
address or password of theirs stands in a list of processes. Exit status 3, and no installation, where the configuration
holds something that uv can't be told: pip has to do it then.
"""

from __future__ import annotations

import ast
import os
import subprocess
import sys

# What pip is told (`pip help install` names it, without the dashes) -> the variable that tells uv the same.
ONE = {
    "index-url": "UV_DEFAULT_INDEX",
    "cert": "SSL_CERT_FILE",
    "client-cert": "SSL_CLIENT_CERT",
    "proxy": "ALL_PROXY",
    "timeout": "UV_HTTP_TIMEOUT",
    "default-timeout": "UV_HTTP_TIMEOUT",
    "retries": "UV_HTTP_RETRIES",
}
SEVERAL = {
    "extra-index-url": "UV_EXTRA_INDEX_URL",
    "trusted-host": "UV_INSECURE_HOST",
}
# The same for what only an option tells.
OPTIONS = {"find-links": "--find-links", "constraint": "--constraint"}
SWITCHES = {"no-index": "--no-index", "pre": "--prerelease=allow", "no-cache-dir": "--no-cache"}
# What says how pip runs and shows itself, not what it installs.
HARMLESS = {
    *("break-system-packages", "cache-dir", "compile", "disable-pip-version-check", "log", "no-cache", "no-color"),
    *("no-compile", "no-input", "no-python-version-warning", "no-warn-script-location", "prefer-binary"),
    *("progress-bar", "quiet", "require-virtualenv", "root-user-action", "use-pep517", "verbose", "version"),
}


def settings(listed: str) -> dict[str, str]:
    """What pip would take for `pip install`, by option.

    Args:
        listed: What `pip config list` prints: `section.option='value'` a line; of an option's values the last section's
            stands, of global, install and the environment (`:env:`).
    """
    taken: dict[str, str] = {}
    rows = [line.partition("=") for line in listed.splitlines() if "=" in line]
    for section in ("global", "install", ":env:"):
        for key, _, value in rows:
            where, _, option = key.partition(".")
            if where == section:
                taken[option.replace("_", "-")] = str(ast.literal_eval(value))
    return taken


def for_uv(taken: dict[str, str]) -> tuple[list[str], dict[str, str]]:
    """Options and variables of uv that say the same.

    Raises:
        ValueError: Something has no counterpart; the message is its name.
    """
    # pip takes the best of all indexes, uv that of the first one that has the package.
    options, variables = ["--index-strategy", "unsafe-best-match"], {}
    for option, value in taken.items():
        if option in ONE:
            variables[ONE[option]] = value
        elif option in SEVERAL:
            variables[SEVERAL[option]] = " ".join(value.split())
        elif option in OPTIONS:
            options += [word for each in value.split() for word in (OPTIONS[option], each)]
        elif option in SWITCHES:
            options += [SWITCHES[option]] if value.lower() in ("1", "true", "yes", "on", "y", "t") else []
        elif option not in HARMLESS:
            raise ValueError(option)
    return options, variables


def main(uv: str, *arguments: str) -> None:
    """Become uv."""
    listed = subprocess.run([sys.executable, "-m", "pip", "config", "list"], capture_output=True, text=True, check=True)
    try:
        options, variables = for_uv(settings(listed.stdout))
    except ValueError as unknown:
        print(f"uv can't be told pip's {unknown}", file=sys.stderr)
        sys.exit(3)
    environment = {**os.environ, **variables}
    os.execve(uv, [uv, "pip", "install", "--python", sys.executable, *options, *arguments], environment)


if __name__ == "__main__":
    main(*sys.argv[1:])
