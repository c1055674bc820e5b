"""pipeline.yaml: stages by name, each a command with its options, held against the commands themselves before one runs.

A stage is `run:` with a command's name, and that command's options as keys, with _ for -. Files are named relative to
the pipeline's file. `@NAME` is the folder of an earlier stage, `@NAME:PART` a part of it; `each:` makes a stage of
every combination of values, called NAME.VALUE; `after:` names stages that a stage reads without an option of its own.
"""

from __future__ import annotations

import inspect
import itertools
import re
import typing
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from policy_port.contract.yaml_file import Strict, YamlDocument, parse, read_yaml
from policy_port.errors import PolicyPortError, TrainError, closest

LARGEST = 200
"""Stages of a pipeline at most."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_-]*")
OWN_KEYS = ("run", "each", "after")
"""Keys of a stage that are no option."""
RESERVED = ("resume", "force")
"""Options that the pipeline itself decides."""
REFERENCE = re.compile(r"@(?P<stage>[^:]+)(?::(?P<part>.+))?")

Folder = Callable[[Mapping[str, Any]], Path]
"""Where a command leaves its files, by its options."""


@dataclass(frozen=True, kw_only=True)
class Command:
    """What a stage may run."""

    call: Callable[..., Any]
    """The command's function; its parameters are the stage's options."""
    check: Callable[..., Any] = lambda **options: None
    """Raises on options that it would refuse together, before anything runs."""
    rooms: tuple[str, ...]
    """Rooms of this package whose source decides what comes out."""
    folder: Folder | None = None
    """Where its files are, where it has no `out`."""
    depends: Callable[[Mapping[str, Any]], Any] = lambda options: None
    """What it reads beside the files that its options name, as plain data."""
    measures: Callable[[Path, Mapping[str, Any]], dict[str, Any]] = lambda folder, options: {}
    """Figures of what came out, by name: {value, low, high}, and None for a bound that is not known."""
    makes: str = ""
    """What it leaves, in a word that other commands' `takes` know: "run", "port"."""
    parts: tuple[str, ...] = ()
    """What `@NAME:PART` may name of that."""
    takes: Mapping[str, tuple[str, ...]] | None = None
    """What an option may name of earlier stages, by its key: what they make, or ":PART". None: nobody looks."""
    lasting: bool = False
    """Whether what came out was measured of something real, which no other version of this package makes anew."""
    curves: Callable[[Path], dict[str, list[float]]] = lambda folder: {}
    """Learning curves by name, a number an iteration."""
    tells: Callable[[Path], str] = lambda folder: ""
    """What came out, in a sentence."""

    @property
    def options(self) -> dict[str, inspect.Parameter]:
        """Its options by the keys of a stage: what the command line calls them."""
        return {_key(each): each for each in inspect.signature(self.call, eval_str=True).parameters.values()}

    def parameters(self, given: Mapping[str, Any]) -> dict[str, Any]:
        """Options as the function takes them: by parameter, of its types, and defaults for the rest."""
        found = {}
        for key, parameter in self.options.items():
            if key in given:
                found[parameter.name] = TypeAdapter(parameter.annotation).validate_python(given[key])
            elif parameter.default is not parameter.empty:
                found[parameter.name] = parameter.default
        return found

    @property
    def resumes(self) -> bool:
        """Whether it goes on where it was cut."""
        return "resume" in self.options


class Document(Strict):
    """The file."""

    policy_port_pipeline: Literal[1]
    """Version of this format."""
    name: str
    """What it makes, in words."""
    out: str | None = None
    """Folder of everything that is made; one called as the file, beside it, if not given."""
    scale: dict[str, Annotated[float, Field(gt=0.0)]] = {}
    """Factors on whole-numbered options of all stages that state them: how a small machine does a large one's work."""
    stages: dict[str, dict[str, Any]] = Field(min_length=1)
    """Stages by name, in the order in which they run."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One run of a command."""

    name: str
    """Its own, with what `each` picked behind it."""
    family: str
    """The name in the file."""
    kind: str
    """The command's name."""
    command: Command
    """The command."""
    options: dict[str, Any]
    """By key; what names earlier stages is still to be resolved."""
    after: tuple[str, ...] = ()
    """Earlier stages that it reads too."""

    @property
    def needs(self) -> tuple[str, ...]:
        """Names of earlier stages that its options name."""
        found = [REFERENCE.fullmatch(text) for text in texts([self.options, self.after])]
        return tuple(dict.fromkeys(match["stage"] for match in found if match))


@dataclass(frozen=True, kw_only=True)
class Pipeline:
    """A pipeline that was read."""

    file: Path
    """Its file."""
    name: str
    """What it makes."""
    out: Path
    """Where."""
    scale: dict[str, float]
    """As in the file."""
    stages: tuple[Stage, ...]
    """In order."""
    families: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Stages by the name in the file."""


def read_pipeline(path: Path, commands: Mapping[str, Command], out: Path | None = None) -> Pipeline:
    """Read a pipeline, and hold every option of every stage against its command.

    Raises:
        TrainError: With file, line and key.
    """
    document = read_yaml(path, TrainError)
    found = parse(Document, document, TrainError)
    stages: list[Stage] = []
    families: dict[str, tuple[str, ...]] = {}
    for name, raw in found.stages.items():
        if not NAME.fullmatch(name):
            raise TrainError(f"{_at(document, name)}: stage '{name}': a name has letters, digits, - and _")
        made = list(_stages(name, raw, found.scale, document, commands, families))
        for stage in made:
            _check_references(stage, families, {before.name: before.command for before in stages}, document)
        families[name] = tuple(stage.name for stage in made)
        stages += made
    names = [stage.name for stage in stages]
    if repeated := next((stage for stage in stages if names.count(stage.name) > 1), None):
        raise TrainError(
            f"{_at(document, repeated.family, 'each')}: stage '{repeated.family}': `each` makes {repeated.name} twice, "
            "and a stage's folder is called by its name; let the values differ in letters or digits"
        )
    if len(stages) > LARGEST:
        raise TrainError(f"{path}: {len(stages)} stages are more than the {LARGEST} that a pipeline may have")
    for option in found.scale:
        if not any(option in stage.options for stage in stages):
            raise TrainError(f"{path}:{document.line(('scale', option))}: scale.{option}: no stage states {option}")
    place = out or (path.parent / found.out if found.out else path.with_suffix(""))
    if place.resolve() == path.resolve():
        raise TrainError(f"{path}: has no ending, so its folder would have its name; write `out` in it, or give --out")
    nearest = next(folder for folder in (place.resolve(), *place.resolve().parents) if folder.exists())
    if not nearest.is_dir():
        raise TrainError(f"{nearest}: is a file, and a pipeline makes a folder; name another one in `out`, or by --out")
    return Pipeline(
        file=path, name=found.name, out=place.resolve(), scale=found.scale, stages=tuple(stages), families=families
    )


def texts(value: Any) -> Iterator[str]:
    """Every text in a value."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from texts(item)


def _at(document: YamlDocument, *place: int | str) -> str:
    return f"{document.path}:{document.line(('stages', *place))}"


def _stages(
    name: str,
    raw: Mapping[str, Any],
    scale: Mapping[str, float],
    document: YamlDocument,
    commands: Mapping[str, Command],
    families: Mapping[str, tuple[str, ...]],
) -> Iterator[Stage]:
    kind, each = raw.get("run"), raw.get("each", {})
    if not isinstance(kind, str) or kind not in commands:
        given = (
            "says not what to run."
            if kind is None
            else f"runs '{kind}', no command{closest(str(kind), commands) or '.'}"
        )
        given = f"{given} `run` is one of {', '.join(commands)}"
        raise TrainError(f"{_at(document, name, 'run')}: stage '{name}' {given}")
    command = commands[kind]
    if not isinstance(each, dict) or not all(isinstance(values, list) and values for values in each.values()):
        raise TrainError(f"{_at(document, name, 'each')}: stage '{name}': `each` names options, each with its values")
    after = raw.get("after", [])
    after = [after] if isinstance(after, str) else after
    if not isinstance(after, list) or not all(isinstance(each, str) and each.startswith("@") for each in after):
        raise TrainError(f"{_at(document, name, 'after')}: stage '{name}': `after` names stages, such as \"@port\"")
    options = {key: value for key, value in raw.items() if key not in OWN_KEYS}
    for key in each.keys() & options.keys():
        raise TrainError(f"{_at(document, name, key)}: stage '{name}': {key} stands in `each` too; keep one")
    for picked in itertools.product(*each.values()):
        label = ".".join([name, *(re.sub(r"\W+", "_", str(value).lstrip("@")) for value in picked)])
        stated = {**options, **dict(zip(each, picked, strict=True))}
        checked = {
            key: _checked(key, value, command, scale, f"{_at(document, name, key)}: stage '{name}'", document.path)
            for key, value in stated.items()
        }
        missing = [
            key
            for key, parameter in command.options.items()
            if parameter.default is parameter.empty and key != "out" and key not in checked
        ]
        if missing:
            raise TrainError(f"{_at(document, name)}: stage '{name}': {kind} needs {', '.join(missing)}")
        try:
            command.check(**command.parameters({"out": "@out", **_each_named(checked, families)}))
        except PolicyPortError as error:
            raise TrainError(f"{_at(document, name)}: stage '{label}': {error}") from None
        yield Stage(name=label, family=name, kind=kind, command=command, options=checked, after=tuple(after))


def _checked(key: str, value: Any, command: Command, scale: Mapping[str, float], where: str, file: Path) -> Any:
    """An option's value: of its type, scaled, with files made absolute."""
    valid = [name for name in command.options if name not in (*RESERVED, "out")]
    if key not in valid:
        decides = "; the pipeline itself decides it" if key in (*RESERVED, "out") else closest(key, valid)
        raise TrainError(
            f"{where}: unknown key '{key}'{decides or '.'} Valid: {', '.join((*OWN_KEYS, *sorted(valid)))}"
        )
    kind = command.options[key].annotation
    if _is_list(kind) and not isinstance(value, list):
        value = [value]
    if key in scale:
        if not isinstance(value, int) or isinstance(value, bool):
            raise TrainError(f"{where}: {key} is {value!r}, and scale.{key} is for whole numbers")
        value = max(1, round(value * scale[key]))
    _check_type(kind, value, f"{where}: {key}")
    named = _is_path(kind)
    return _resolved(value, file.parent, required=named, where=f"{where}: {key}")


def _check_type(kind: Any, value: Any, where: str) -> None:
    try:
        # Text in quotes is no number, and a number no text: as everywhere in our YAML.
        TypeAdapter(_plain(kind)).validate_json(_json(value), strict=True)
    except ValidationError as cause:
        first = cause.errors(include_url=False)[0]
        raise TrainError(f"{where}: {first['msg'][:1].lower()}{first['msg'][1:]} (given: {value!r})") from None
    for option in _metadata(kind):
        low, high = getattr(option, "min", None), getattr(option, "max", None)
        if isinstance(value, int | float) and (
            (low is not None and value < low) or (high is not None and value > high)
        ):
            raise TrainError(f"{where}: {value} is not between {low} and {'any' if high is None else high}")


def _json(value: Any) -> str:
    import json

    return json.dumps(value)


def _metadata(kind: Any) -> tuple[Any, ...]:
    return kind.__metadata__ if typing.get_origin(kind) is Annotated else ()


def _plain(kind: Any) -> Any:
    return typing.get_args(kind)[0] if typing.get_origin(kind) is Annotated else kind


def _is_list(kind: Any) -> bool:
    plain = _plain(kind)
    return typing.get_origin(plain) is list or any(typing.get_origin(part) is list for part in typing.get_args(plain))


def _is_path(kind: Any) -> bool:
    plain = _plain(kind)
    return plain is Path or any(_is_path(part) for part in typing.get_args(plain))


def _key(parameter: inspect.Parameter) -> str:
    """What the command line calls a parameter: its first long option, or its name."""
    for option in _metadata(parameter.annotation):
        # In an annotation typer keeps the first name where a default would stand.
        named = (getattr(option, "default", None), *(getattr(option, "param_decls", None) or ()))
        if declared := [text for text in named if isinstance(text, str) and text.startswith("--")]:
            return declared[0].removeprefix("--").partition("/")[0].replace("-", "_")
    return parameter.name


def _resolved(value: Any, folder: Path, *, required: bool, where: str) -> Any:
    """Values that name files, made absolute."""
    if isinstance(value, list):
        return [_resolved(item, folder, required=required, where=where) for item in value]
    if not isinstance(value, str) or value.startswith("@"):
        return value
    path = folder / Path(value).expanduser()
    # A name of something shipped is no file; a bare word that happens to be a folder's name is not meant as one.
    if path.exists() and (required or path.is_file() or "/" in value):
        return str(path.resolve())
    if required:
        raise TrainError(f"{where}: no such file: {path}")
    return value


def _each_named(options: Mapping[str, Any], families: Mapping[str, tuple[str, ...]]) -> dict[str, Any]:
    """Options with every stage by itself in lists, as a command will get them."""
    return {
        key: [f"@{name}" for item in value for name in families.get(str(item)[1:], (str(item)[1:],))]
        if isinstance(value, list) and all(isinstance(item, str) and item.startswith("@") for item in value)
        else value
        for key, value in options.items()
    }


def _check_references(
    stage: Stage, families: Mapping[str, tuple[str, ...]], made: Mapping[str, Command], document: YamlDocument
) -> None:
    """Refuse what names no earlier stage, several where one is taken, or one of another kind."""
    known = [*families, *itertools.chain(*families.values())]
    where = f"{_at(document, stage.family)}: stage '{stage.family}'"
    for name in stage.needs:
        if name not in known:
            raise TrainError(
                f"{where} names @{name}, which is no stage before it{closest(name, known) or '.'} "
                f"Before it: {', '.join(dict.fromkeys(known)) or 'none'}"
            )
    for key, value in stage.options.items():
        for match in filter(None, map(REFERENCE.fullmatch, texts(value))):
            names = families.get(match["stage"], (match["stage"],))
            if len(names) > 1 and not isinstance(value, list):
                raise TrainError(
                    f"{where}: {key} names {match[0]}, which is {len(names)} stages, and takes one: {', '.join(names)}"
                )
            _check_kind(stage.command, key, match, made, where)


def _check_kind(command: Command, key: str, match: re.Match[str], made: Mapping[str, Command], where: str) -> None:
    """Refuse a stage, or a part of one, that an option can't take."""
    if command.takes is None:
        return
    taken = command.takes.get(key, ())
    if not taken:
        options = ", ".join(each for each in command.takes if each in command.options) or "none"
        raise TrainError(f"{where}: {key} names {match[0]}, and takes no stage; of its options these do: {options}")
    fit = [f"@{name}" for name, other in made.items() if other.makes in taken]
    fit += [f"@{name}:{part}" for name, other in made.items() for part in other.parts if f":{part}" in taken]
    name = match["stage"]
    source = next(other for stage, other in made.items() if stage == name or stage.startswith(f"{name}."))
    what = f":{match['part']}" if match["part"] else source.makes
    if what in taken and (not match["part"] or match["part"] in source.parts):
        return
    lacks = "" if not match["part"] or match["part"] in source.parts else ", of which there is no such part"
    raise TrainError(
        f"{where}: {key} names {match[0]}, and that stage makes a {source.makes}{lacks}; {key} takes "
        f"{' or '.join(f'@NAME{each}' if each[0] == ':' else f'a {each}' for each in taken)}. "
        f"Before it: {', '.join(fit) or 'none'}"
    )
