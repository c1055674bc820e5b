"""What errors advise, in the words of a suite: they name options of `play` and `export`, a suite has keys."""

from __future__ import annotations

import re

_WITH_VALUE = {
    "--plant": "simulator",
    "--sim-backend": "sim_backend",
    "--task": "task",
    "--control-mode": "control_mode",
}
"""Options whose value a key of the case's `plant` or `env` takes as it is."""

_KEYS = {
    "--no-meshes": "meshes: false",
    "--robot": "robot",
    "--timestep": "timestep",
    "--env": "env",
    "--through": "through",
    "--command": "commands",
    "--seconds": "seconds",
    "--goal": "goals",
    "--episodes": "episodes",
    "--seed": "seed",
    "--num-envs": "num_envs",
    "--mapping": "mapping",
    "--from": "library",
    "--statistics": "statistics",
    "--activation": "activation",
    "--fold": "fold",
    "--contract": "contract",
    **_WITH_VALUE,
}
_OF_A_PORT = frozenset({"--ignore", "--agent", "--output", "--width", "--format"})
"""Options of `export` that a suite has no key for."""

_OPTION = re.compile(r"(?<![\w-])(--[a-z]+(?:-[a-z]+)*)( [a-z][\w-]*)?")


def in_a_suite(advice: str) -> str:
    """The text with a case's keys instead of options; what has no key is for `export`, and the case takes its port.

    Options that are left as they are belong to other commands.
    """

    def key(found: re.Match[str]) -> str:
        if advice.count("`", 0, found.start()) % 2:
            return found[0]  # part of a whole command
        option, value = found[1], found[2] or ""
        if option in _WITH_VALUE and value:
            return f"`{_WITH_VALUE[option]}:{value}`"
        return f"`{_KEYS[option]}`{value}" if option in _KEYS else found[0]

    foreign = sorted({found[1] for found in _OPTION.finditer(advice)} & _OF_A_PORT)
    more = f". A suite has no key for {', '.join(foreign)}: export the policy with it, and name the `port`"
    return _OPTION.sub(key, advice) + (more if foreign else "")
