"""A command whose options are the fields of a dataclass: typer wants a parameter for each, a function reads one."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, get_type_hints


def takes[Options](
    options: type[Options], *, check: Callable[[Options], object] = lambda options: None
) -> Callable[[Callable[[Options], None]], Callable[..., None]]:
    """Make a command of a function of its options.

    Args:
        options: A dataclass whose fields are annotated like a command's parameters; one without a default is
            required, and one that is a dataclass itself stands for the fields of that.
        check: Refuses options that do not go together, of a stage whose files need not be there yet; the function
            itself does so too.
    """

    def command_of(function: Callable[[Options], None]) -> Callable[..., None]:
        @functools.wraps(function)
        def command(**given: Any) -> None:
            function(_filled(options, given))

        command.__signature__ = inspect.Signature([*_parameters(options)])  # type: ignore[attr-defined]
        command.check = lambda **given: check(_filled(options, given))  # type: ignore[attr-defined]
        return command

    return command_of


@functools.cache
def _parts(options: Any) -> list[tuple[Any, Any, bool]]:
    """Each field, its annotation, and whether that is a dataclass."""
    hints = get_type_hints(options, include_extras=True)
    return [(field, hints[field.name], is_dataclass(hints[field.name])) for field in fields(options)]


def _parameters(options: type) -> Iterator[inspect.Parameter]:
    for field, hint, several in _parts(options):
        if several:
            yield from _parameters(hint)
        else:
            default = inspect.Parameter.empty if field.default is MISSING else field.default
            yield inspect.Parameter(field.name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=hint)


def _filled(options: type, given: Mapping[str, Any]) -> Any:
    return options(
        **{
            field.name: _filled(hint, given) if several else given[field.name]
            for field, hint, several in _parts(options)
            if several or field.name in given
        }
    )
