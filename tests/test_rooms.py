"""The rooms of the package: who may import whom, and where heavy libraries belong."""

from __future__ import annotations

import ast
import functools
import graphlib
import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass

from tests.sources import PACKAGE, sources

# A room is a folder of the package or a single file at its top; a folder in a room is a room too. Each may import
# itself and the rooms in its row, or only one file of another room; everything may import `arrays`, `counts`, `errors`
# and the version in the package's own file. A row stands for its own files alone: a room in a room has its own row.
ROOMS: dict[str, set[str]] = {
    "arrays": set(),
    "counts": set(),
    "errors": set(),
    "files": set(),
    "onnx_session": set(),
    "plain_yaml": set(),
    "resources": set(),
    "system": set(),
    "text_table": set(),
    "trace": set(),
    "contract": {"files", "plain_yaml", "resources", "text_table"},
    "remap": {"contract", "motion"},
    # Several files that one policy is made of become one network here.
    "checkpoints": {"checkpoints.files", "checkpoints.libraries", "checkpoints.networks"},
    "checkpoints.files": {"checkpoints.policy", "files", "plain_yaml"},
    "checkpoints.networks": {"checkpoints.actor", "checkpoints.policy", "checkpoints.files"},
    "checkpoints.libraries": {"checkpoints.actor", "checkpoints.policy", "checkpoints.files", "checkpoints.networks"},
    "checkpoints.onnx": {
        "checkpoints.actor",
        "checkpoints.policy",
        "checkpoints.files",
        "checkpoints.networks",
        "onnx_session",
    },
    "checkpoints.torchscript": {"checkpoints.policy", "checkpoints.files", "checkpoints.networks"},
    "robot_models": set(),
    "descriptors.outwards": {"contract", "descriptors", "files"},
    # GMR's clips are pickles, which nobody but the reader of strangers' pickles opens.
    "motion": {"contract", "files", "checkpoints.files"},
    # What a bundle of LEAPP computes is held against the contract in it, by running both.
    "descriptors": {"contract", "checkpoints", "onnx_session", "plain_yaml", "robot_models", "tasks", "text_table"},
    # A TorchScript file in a port is as much a stranger's as any checkpoint, and is read with the same care.
    "port": {
        *("contract", "motion", "remap", "files", "onnx_session", "plain_yaml", "trace"),
        *("checkpoints.files", "checkpoints.torchscript"),
    },
    # A deploy graph is proved over states: by the second way from states to observations that traces are held against.
    "proof": {
        *("contract", "deploy", "motion", "remap", "checkpoints", "onnx_session", "port"),
        *("verdict.evidence", "verdict.rebuild"),
    },
    # A port says which dynamics its policy was trained under, by the hash that traces have.
    "export": {"contract", "deploy", "dynamics", "motion", "remap", "checkpoints", "files", "port", "proof"},
    # What a step computes of signals, as plan and as program; the control loop and the device run it.
    "deploy": {"contract", "motion", "onnx_session", "port"},
    "control": {"contract", "deploy", "motion", "remap", "port"},
    "dynamics": {"contract", "files", "plain_yaml", "resources"},
    # A learned actuator is a stranger's network, and is opened with the same care as any checkpoint.
    "plants": {
        *("contract", "control.ghost", "control.plant", "dynamics", "robot_models"),
        *("checkpoints.torchscript.rows", "onnx_session"),
    },
    "tasks": {"contract", "plain_yaml", "resources"},
    "report": {"files"},
    "replay": {
        *("contract", "control", "dynamics", "motion", "plants", "port", "tasks", "report", "trace", "files"),
        "resources",
    },
    # The loop of a replay on the plant's device: what `control` and `replay` do on the host, with the same figures.
    "device": {"contract", "control", "deploy", "plants", "port", "replay"},
    # A person at the controls: nothing imports it but the command that opens a view.
    "live": {"control", "motion", "plants", "port", "replay", "trace"},
    "compare": {"contract", "dynamics", "files", "replay", "report", "text_table", "trace"},
    "mistakes": {"contract", "report", "resources"},
    "verdict": {"contract", "files", "mistakes", "motion", "remap", "port", "report", "trace"},
    # Verdict judges what was recorded and starts no simulator; this room plays, so it needs all that replays need.
    "closed_loop": {"contract", "control", "mistakes", "plants", "port", "replay", "report", "tasks"},
    # The network alone, held against its contract: no trace, no simulator. Joint names tell it a robot's two sides.
    "probe": {"contract", "checkpoints", "closed_loop.symmetry", "mistakes", "port", "proof"},
    "regress": {
        "contract",
        "remap",
        "checkpoints",
        "control",
        "motion",
        "plants",
        "port",
        "export",
        "replay",
        "tasks",
        "files",
        "robot_models",
    },
    # Plays as suites do, and ranks as comparisons do; what starts processes and keeps caches is theirs.
    "sweep": {
        *("checkpoints.files", "compare", "contract", "files", "regress", "replay", "report", "text_table"),
    },
    # Reinforcement learning is RSL-RL's: this room builds its environments, feeds it and keeps its runs.
    "train": {
        *("checkpoints", "contract", "control", "deploy", "descriptors.link_chains", "dynamics", "export", "files"),
        *("motion", "plain_yaml", "plants", "port", "proof", "remap", "replay", "report", "resources"),
        *("robot_models", "tasks", "trace"),
    },
    # Estimation is MuJoCo's and SciPy's: this room brings them data and judges what comes out.
    "identify": {
        *("contract", "control", "dynamics", "files", "motion", "plain_yaml", "plants", "port", "replay", "report"),
        *("resources", "robot_models", "trace", "robots.arm"),
    },
    "pipeline": {"contract", "files", "report", "robot_models", "text_table"},
    # A camera's picture is made, aligned, solved for and checked here; whoever has an arm hands its pictures in.
    "camera": {
        *("contract", "control", "files", "motion", "plain_yaml", "plants", "port", "replay", "report", "resources"),
        *("robot_models", "tasks", "trace"),
    },
    # Turns of stages that other rooms' commands are; what is done and unchanged is the pipeline's to say.
    "engine": {
        *("compare", "contract", "dynamics", "files", "identify", "pipeline", "plain_yaml", "port", "replay"),
        *("report", "resources", "robot_models", "robots.arm", "robots.jobs", "tasks", "trace", "train"),
    },
    "pytest_plugin": {"regress"},
    "robots": {"robots.maniskill"},
    # An arm that is not there, at the wire: it could be published alone.
    "robots.emulator": {
        *("camera", "contract", "control.plant", "dynamics", "motion.rotations", "plants", "robot_models", "files"),
    },
    "robots.arm": {
        "camera",
        "contract",
        "control.plant",
        "dynamics",
        "files",
        "plants",
        "replay.pose_picture",
        "resources",
        "robot_models",
        "robots.emulator",
    },
    # A plan of excitation is looked at in a simulator before any of it moves an arm.
    "robots.jobs": {
        *("camera", "contract", "control", "dynamics", "files", "plants", "port", "replay", "report", "resources"),
        *("robot_models", "robots.arm", "robots.emulator", "tasks", "trace"),
    },
    "robots.maniskill": {
        "camera",
        "contract",
        "control",
        "port",
        "replay",
        "robots.arm",
        # What an episode is about is laid on an emulated arm's table.
        "robots.emulator",
        "robots.jobs",
        "tasks",
    },
}

# May import every room; nothing may import it.
TOP_ROOM = "cli"

# A heavy library -> the rooms, or single files, that own it. `system` asks each of them whether it works.
HEAVY: dict[str, set[str]] = {
    "gymnasium": {"tasks", "replay", "descriptors/maniskill_env.py", "robots/maniskill/env.py"},
    "imageio": {"replay"},
    "lerobot": {"robots", "checkpoints/libraries/lerobot.py"},
    "mani_skill": {
        "plants",
        "tasks",
        "replay",
        "descriptors/maniskill_env.py",
        "descriptors/maniskill_actions.py",
        "descriptors/maniskill_observation.py",
        # A task policy brings its task along; joint policies need no simulator on the robot's machine.
        "robots/maniskill/task.py",
        "robots/maniskill/proof.py",
        "robots/maniskill/agent.py",
    },
    "matplotlib": {"compare", "replay", "report"},
    "mujoco": {
        *("plants", "identify", "system", "descriptors/robot_parsers.py", "descriptors/link_chains.py"),
        # The arm as a camera sees it.
        *("camera/links.py", "camera/render.py", "robots/emulator/scene.py"),
    },
    "newton": {"plants", "descriptors/robot_parsers.py"},
    "onnx": {
        *("checkpoints", "deploy", "port", "export", "descriptors/onnx_file.py", "descriptors/leapp_graph.py"),
        *("descriptors/outwards", "identify/learned.py"),
    },
    "onnxruntime": {"export", "onnx_session", "port", "system"},
    "rerun": {"replay"},
    "ray": {"regress"},
    "pyarrow": {"identify", "robots/jobs/dataset.py", "sweep"},
    "rsl_rl": {"train"},
    "tensordict": {"train"},
    "aiohttp": {"camera"},
    "cmaes": {"camera"},
    "scipy": {"camera", "engine", "identify"},
    "sapien": {"plants", "tasks", "replay", "system", "camera/scene.py", "descriptors/robot_parsers.py"},
    "torch": {
        "deploy/module.py",
        "remap",
        "checkpoints",
        "export",
        "port",
        "proof",
        "probe",
        "train",
        "tasks/picture_looks.py",
        "tasks/so100_ball_env.py",
        "tasks/so100_reach_env.py",
        "tasks/reach_reward.py",
        "device",
        "plants/newton_tensors.py",
        # Environments of ManiSkill draw from torch's own generator, which an episode has to seed.
        "replay/env_episodes.py",
        "replay/env_tensors.py",
        "system",
        "robots/maniskill/env.py",
        "robots/maniskill/task.py",
        "robots/maniskill/proof.py",
        "robots/maniskill/agent.py",
    },
    "trimesh": {"plants", "robot_models"},
    "viser": {"live"},
    "warp": {"plants", "descriptors/robot_parsers.py"},
}

# These are loaded by `import policy_port`, `--help` or shell completion, which answer at once: what is heavy is
# imported inside the call.
LIGHT_ROOMS = {"", "cli", "contract", "counts", "errors", "files", "resources", "system", "trace"}


@dataclass(frozen=True)
class Import:
    """One imported module, and where."""

    file: str
    line: int
    module: str
    at_module_level: bool
    for_types_only: bool

    @property
    def room(self) -> str:
        return room_of(self.file)

    @property
    def owners(self) -> set[str]:
        """The file, and every folder that it lies in, from the top of the package on."""
        parts = self.file.split("/")
        return {"/".join(parts[: end + 1]) for end in range(len(parts))} | {self.room}

    @property
    def library(self) -> str:
        return self.module.partition(".")[0]

    @property
    def other_room(self) -> str:
        """The room of the package that is imported, "" for none and for the package's own file."""
        inside = self.module.removeprefix("policy_port").lstrip(".")
        if self.library != "policy_port" or not inside:
            return ""
        place = inside.replace(".", "/")
        return room_of(f"{place}/__init__.py" if (PACKAGE / place).is_dir() else f"{place}.py")

    def reaches(self, place: str) -> bool:
        """Whether the imported module is `place` of the package, or lies in it."""
        return f"{self.module}.".startswith(f"policy_port.{place}.")

    def __str__(self) -> str:
        return f"{self.file}:{self.line} imports {self.module}"


def room_of(file: str) -> str:
    """The folder that a file lies in, dotted; its own name for a file at the top of the package."""
    folder, _, name = file.rpartition("/")
    own = name.removesuffix(".py")
    return folder.replace("/", ".") or ("" if own == "__init__" else own)


def names_type_checking(test: ast.expr) -> bool:
    return ast.unparse(test) in ("TYPE_CHECKING", "typing.TYPE_CHECKING")


def imports_in(node: ast.AST, file: str, top: bool = True, types: bool = False) -> Iterator[Import]:
    """Yield every import under `node`, those inside functions too."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.Import):
            for alias in child.names:
                yield Import(file, child.lineno, alias.name, top, types)
        elif isinstance(child, ast.ImportFrom):
            assert child.level == 0, f"{file}:{child.lineno}: relative imports hide the room they reach into"
            module = child.module or ""
            for alias in child.names:
                is_module = module == "policy_port" and room_exists(alias.name)
                yield Import(file, child.lineno, f"{module}.{alias.name}" if is_module else module, top, types)
        elif isinstance(child, ast.If) and names_type_checking(child.test):
            for part in child.body:
                yield from imports_in(ast.Module([part], []), file, top, True)
            for part in child.orelse:
                yield from imports_in(ast.Module([part], []), file, top, types)
        elif not isinstance(child, ast.expr):
            inside = isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef)
            yield from imports_in(child, file, top and not inside, types)


def room_exists(name: str) -> bool:
    return (PACKAGE / name).is_dir() or (PACKAGE / f"{name}.py").is_file()


@functools.cache
def all_imports() -> list[Import]:
    found = []
    for source in sources():
        found += imports_in(source.tree, source.file)
    return found


def test_every_room_has_a_row() -> None:
    """A new folder, or a file at the top of the package, is a decision, and is written down here."""
    rooms = {room_of(path.relative_to(PACKAGE).as_posix()) for path in PACKAGE.rglob("*.py")}
    assert rooms == {"", TOP_ROOM, *ROOMS}


def test_the_table_has_no_circle() -> None:
    """Data flows one way: the table itself can be put into an order, rooms at the top of the package and in a room."""
    top = {room: {other.partition(".")[0] for other in row} - {room} for room, row in ROOMS.items() if "." not in room}
    for room, row in ROOMS.items():
        parent, dot, _ = room.partition(".")
        if dot:
            top[parent] |= {other.partition(".")[0] for other in row} - {parent}
    inside = {room: {other for other in row if other in ROOMS} for room, row in ROOMS.items() if "." in room}
    assert set(graphlib.TopologicalSorter(top).static_order()) == set(top)
    assert set(graphlib.TopologicalSorter(inside).static_order()) >= set(inside)


def test_no_two_files_import_each_other() -> None:
    """Inside a room too, also inside functions and for types: files can be read one after the other."""
    graph: dict[str, set[str]] = {}
    for found in all_imports():
        place = found.module.replace(".", "/").removeprefix("policy_port/")
        package = f"{place}/__init__.py"
        if found.library == "policy_port" and found.other_room:
            graph.setdefault(found.file, set()).add(package if (PACKAGE / package).is_file() else f"{place}.py")
    assert len(graph) > 200
    graphlib.TopologicalSorter(graph).prepare()


def test_rooms_import_only_what_their_row_allows() -> None:
    """No import, not even inside a function or for types, goes against the direction of the data."""
    wrong = [
        str(found)
        for found in all_imports()
        if found.other_room not in ("", "arrays", "counts", "errors", found.room)
        and found.room != TOP_ROOM
        and not any(found.reaches(other) for other in ROOMS.get(found.room, ()))
        # The package's own file names what it exports by strings; for types it imports it.
        and not (found.room == "" and found.for_types_only)
    ]
    assert not wrong, "\n".join(wrong)


def test_heavy_libraries_stay_in_their_rooms() -> None:
    """Each heavy library is imported by the rooms that own it, and by no other."""
    wrong = [
        str(found)
        for found in all_imports()
        if found.library in HEAVY
        and not found.owners & HEAVY[found.library]
        # An annotation costs nothing at run time.
        and not found.for_types_only
    ]
    assert not wrong, "\n".join(wrong)


def test_light_rooms_import_heavy_libraries_inside_the_call() -> None:
    """What `--help` loads holds no heavy import at module level."""
    wrong = [
        str(found)
        for found in all_imports()
        if found.library in HEAVY and found.room in LIGHT_ROOMS and found.at_module_level and not found.for_types_only
    ]
    assert not wrong, "\n".join(wrong)


def test_the_table_is_really_applied() -> None:
    """The parser sees imports in functions, of names that are modules, and those for types only."""
    code = """
import a.b
from policy_port import files, __version__
if TYPE_CHECKING:
    from policy_port.remap.affine import AffineMap
def call():
    from torch import nn
"""
    seen = [
        (found.module, found.at_module_level, found.for_types_only)
        for found in imports_in(ast.parse(code), "contract/x.py")
    ]
    assert seen == [
        ("a.b", True, False),
        ("policy_port.files", True, False),
        ("policy_port", True, False),
        ("policy_port.remap.affine", True, True),
        ("torch", False, False),
    ]


def loaded_by(code: str) -> set[str]:
    """Return the top-level modules that are loaded after `code` has run in a fresh interpreter."""
    report = "\nimport json, sys\nprint(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))"
    done = subprocess.run([sys.executable, "-c", code + report], capture_output=True, text=True, check=True)
    return set(json.loads(done.stdout.splitlines()[-1]))


def commands() -> list[list[str]]:
    from policy_port.cli.app import COMMANDS, GROUPS

    return [[], *([name] for name in (*COMMANDS, *GROUPS))]


def test_import_loads_nothing_heavy() -> None:
    """`import policy_port` costs no library beyond Python's own."""
    loaded = loaded_by("import policy_port")
    assert not loaded & {*HEAVY, "numpy", "pydantic", "typer"}


def test_help_loads_nothing_heavy() -> None:
    """`--help` of the program and of each command answers without the libraries it works with."""
    # One process for all: what one command loads stays, and would be seen.
    code = (
        "import sys\nfrom policy_port.cli.app import main\n"
        f"for words in {commands()!r}:\n    sys.argv = ['policy-port', *words, '--help']\n"
        "    try:\n        main()\n    except SystemExit as end:\n        assert not end.code, words\n"
    )
    # pydantic may be there: newer releases of typer parse arguments with it.
    assert not loaded_by(code) & {*HEAVY, "numpy", "rich", "scipy"}
