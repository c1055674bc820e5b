"""Claims about commands whose options are the fields of a dataclass."""

from __future__ import annotations

import inspect
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, get_args, get_origin

import pytest
import typer
from pydantic import BaseModel
from typer.testing import CliRunner

from policy_port.cli.app import COMMANDS, GROUPS, _named, app
from policy_port.cli.options import takes
from policy_port.cli.pipeline import measure
from policy_port.contract import Contract
from policy_port.engine.document import Document as EngineDocument
from policy_port.regress.suite import SuiteFile
from policy_port.replay.schedule import Schedule
from policy_port.robots.jobs.plan import Plan
from policy_port.sweep.document import SweepFile
from policy_port.tasks.reach_training import ReachTraining
from policy_port.tasks.velocity import VelocityTask
from policy_port.train.settings import DistilAgent, PpoAgent


@dataclass(frozen=True, kw_only=True)
class Options:
    """Of a command that greets."""

    file: Annotated[Path, typer.Argument(metavar="FILE")]
    times: Annotated[int, typer.Option(min=1, help="How often.")] = 1
    names: Annotated[list[str] | None, typer.Option("--name", help="Whom.")] = None


def parameters() -> Iterator[tuple[str, inspect.Parameter]]:
    """Every parameter of every command, with the command's name; a pipeline's own stage among them."""
    groups = {
        f"{name} {c.callback.__name__}": c.callback
        for name in GROUPS
        for c in _named(GROUPS[name][0]).registered_commands
    }
    single = {name: _named(where) for name, (where, _) in COMMANDS.items()}
    for name, call in {**groups, **single, "measure": measure}.items():
        for each in inspect.signature(call, eval_str=True).parameters.values():
            yield name, each


def _types(annotation: Any) -> tuple[Any, ...]:
    plain = get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation
    return get_args(plain) or (plain,)


def test_every_count_has_an_end() -> None:
    """No command can be told to draw, play or keep 1,000,000,000 of anything: typer refuses it, with the most."""
    counted = [(name, each) for name, each in parameters() if int in _types(each.annotation)]
    assert {each.name for _, each in counted} > {"episodes", "num_envs", "iterations", "seed", "jobs"}
    for name, each in counted:
        (option,) = each.annotation.__metadata__
        assert option.min is not None, f"{name}: {each.name}"
        assert (option.max or 2**40) < 2**31, f"{name}: {each.name}"


@pytest.mark.parametrize(
    "words",
    ["train c.yaml --plant mujoco --robot r.xml --iterations", "play port --plant mujoco --episodes",
     "distil t.pt --num-envs", "distil t.pt --env E --episode-steps", "regress s.regress.yaml --jobs"],
)  # fmt: skip
def test_an_absurd_count_is_refused_with_the_most(words: str, tmp_path: Path) -> None:
    """Exit 2 before any file is looked for; also where the number is too large for a word."""
    for number in (10**9, 10**30):
        out = () if words.startswith("regress") else ("--out", str(tmp_path / "out"))
        done = CliRunner().invoke(app, [*words.split(), str(number), *out])
        assert done.exit_code == 2, done.output
        assert "should be less than or equal to" in " ".join(done.output.split()), done.output
        assert not (tmp_path / "out").exists()


def test_a_process_for_each_of_ten_thousand_environments_is_refused(tmp_path: Path) -> None:
    """ManiSkill's environments on the CPU are processes."""
    words = ("play", "port", "--env", "E", "--num-envs", "10000", "--out", str(tmp_path / "out"))
    done = CliRunner().invoke(app, words)
    assert done.exit_code == 2
    assert "with --env on physx_cpu each is a process, and 1024 are the most" in " ".join(done.output.split())


def whole_numbers(schema: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Each whole number in pydantic's schema of a model, with where it stands."""
    if isinstance(schema, dict):
        if schema.get("type") == "integer" and "const" not in schema:
            yield path, schema
        for key, part in schema.items():
            yield from whole_numbers(part, f"{path}.{key}")
    elif isinstance(schema, list):
        for number, part in enumerate(schema):
            yield from whole_numbers(part, f"{path}[{number}]")


@pytest.mark.parametrize(
    "model",
    [
        VelocityTask,
        ReachTraining,
        PpoAgent,
        DistilAgent,
        SuiteFile,
        SweepFile,
        EngineDocument,
        Plan,
        Contract,
        Schedule,
    ],
)
def test_every_count_of_a_file_has_an_end(model: type[BaseModel]) -> None:
    """Tasks, settings, suites, sweeps, engines, plans, contracts, schedules: no whole number without a largest."""
    for name, found in whole_numbers(model.model_json_schema()):
        if "ImageInput.properties.crop" in name:
            continue  # Held against the picture's own size.
        assert found.get("minimum") is not None, name
        assert found.get("maximum", found.get("exclusiveMaximum", 2**40)) <= 2**32, name


def run(*args: str) -> tuple[int, str, list[Options]]:
    seen: list[Options] = []
    app = typer.Typer(rich_markup_mode=None)

    @app.command()
    @takes(Options)
    def greet(options: Options) -> None:
        """Say hello."""
        seen.append(options)

    result = CliRunner().invoke(app, list(args))
    return result.exit_code, result.output, seen


def test_the_function_gets_what_was_given_and_the_defaults() -> None:
    """Arguments by place, options by flag, and what is not given as the dataclass says."""
    code, _, seen = run("a.txt", "--name", "b", "--name", "c")
    assert (code, seen) == (0, [Options(file=Path("a.txt"), times=1, names=["b", "c"])])


def test_a_field_without_a_default_is_required_and_bounds_hold() -> None:
    """The command is refused before the function runs."""
    assert run()[0::2] == (2, [])
    assert run("a.txt", "--times", "0")[0::2] == (2, [])


def test_help_is_the_functions_and_the_fields() -> None:
    """`--help` shows the function's docstring and each field's help, as for a command of parameters."""
    code, output, _ = run("--help")
    assert code == 0
    for text in ("Say hello.", "FILE", "--times", "How often.", "[default: 1", "--name", "Whom."):
        assert text in output
