"""What mkdocs does for this project beyond its configuration: the repository's documents become one site.

A chapter keeps its path in the repository as its path in the site, so that one relative link leads to the same thing
on a code host and in the site. What a chapter links to comes along: a room or a module of the package is its API page,
which mkdocstrings fills from the docstrings; any other file is itself; any other folder is a list of its files.
"""

from __future__ import annotations

import functools
import json
import posixpath
import re
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files, InclusionLevel
from mkdocs.structure.pages import Page
from pygments.formatters import HtmlFormatter

ROOT = Path(__file__).resolve().parents[1]
PACKAGE = ROOT / "policy_port"
CHAPTERS = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "docs/**/*.md", "benchmarks/*.md")
LINK = re.compile(r"(?<=\]\()(?![a-z]+:)([^)#\s]+)")
"""The path of a relative link or picture, without its anchor."""


def chapters() -> list[str]:
    """Return the documents of the repository that are pages of the site, by their paths there."""
    return sorted(path.relative_to(ROOT).as_posix() for pattern in CHAPTERS for path in ROOT.glob(pattern))


@functools.cache
def rooms() -> dict[str, list[str]]:
    """Return every room of the package, by its dotted name, and the modules on its API page.

    A room is a folder with Python files, or a file at the top of the package, as in tests/test_rooms.py; the package's
    own file is the room "".
    """
    found: dict[str, list[str]] = {}
    for path in sorted(PACKAGE.rglob("*.py")):
        module = path.relative_to(PACKAGE).with_suffix("").parts
        room = module[:-1] or (() if module == ("__init__",) else module)
        name = ".".join(("policy_port", *module)).removesuffix(".__init__")
        found.setdefault(".".join(room), []).append(name)
    return found


def api_page(room: str) -> str:
    """Return the path of a room's API page in the site."""
    return f"api/{room or 'policy_port'}.md"


def place_in_site(path: str) -> str:
    """Return what stands in the site for a path of the repository, with its anchor where it is a part of a page."""
    if path.partition("/")[0] == PACKAGE.name:
        module = path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
        for room, modules in rooms().items():
            if module in modules:
                own_page = module == f"policy_port.{room}"
                return api_page(room) if own_page else f"{api_page(room)}#{module}"
    return f"{path}/README.md" if (ROOT / path).is_dir() else path


def linked(chapter: str) -> list[str]:
    """Return the paths of the repository that a chapter links to. One that is not there is left to mkdocs to report."""
    targets = LINK.findall((ROOT / chapter).read_text(encoding="utf-8"))
    paths = (posixpath.normpath(posixpath.join(posixpath.dirname(chapter), target)) for target in targets)
    return sorted({path for path in paths if (ROOT / path).exists()})


def files_in(path: str) -> list[Path]:
    """Return the files of a folder of the repository, without what tools leave behind: `.name` and `__name__`."""
    files = (file for file in (ROOT / path).rglob("*") if file.is_file())
    return [file for file in files if not re.search(r"/(\.|__\w+__/)", file.relative_to(ROOT).as_posix())]


def on_config(config: MkDocsConfig) -> None:
    """Put the API pages into the navigation."""
    names = {room: room.replace(".", "/") or "policy_port" for room in sorted(rooms())}
    assert config.nav is not None
    config.nav.append({"API": [{name: api_page(room)} for room, name in names.items()]})


def on_files(files: Files, config: MkDocsConfig) -> None:
    """Replace what lies in docs/ by the chapters, what they link to, and the API pages."""
    for file in list(files):
        if file.src_dir == config.docs_dir:
            files.remove(file)

    def add(uri: str, content: str | None = None, nav: bool = False) -> None:
        """Add a file of the repository, or one with this content."""
        if files.get_file_from_path(uri) is not None:
            return
        inclusion = InclusionLevel.INCLUDED if nav else InclusionLevel.NOT_IN_NAV
        if content is None:
            file = File.generated(config, uri, abs_src_path=str(ROOT / uri), inclusion=inclusion)
        else:
            file = File.generated(config, uri, content=content, inclusion=inclusion)
        files.append(file)

    add("docs/site.css")
    add("pygments.css", content=HtmlFormatter().get_style_defs(".highlight"))
    for chapter in chapters():
        add(chapter, nav=True)
    for room, modules in rooms().items():
        add(api_page(room), content=api_text(modules), nav=True)
    for path in (path for chapter in chapters() for path in linked(chapter)):
        uri = place_in_site(path).partition("#")[0]
        if uri != path and not uri.startswith("api/"):
            inside = sorted(file.relative_to(ROOT / path).as_posix() for file in files_in(path))
            add(uri, content="\n".join([f"# {path}/", "", *(f"- [{name}]({name})" for name in inside)]))
            for name in inside:
                add(f"{path}/{name}")
        else:
            add(uri)


def api_text(modules: list[str]) -> str:
    """Return the text of a room's API page: a directive of mkdocstrings for each module.

    The package's own page shows its public names in full; a room's own file only passes on what its modules define.
    """
    texts: list[str] = []
    for module in modules:
        options = {"heading_level": 2 if texts else 1} | ({"members": False} if is_passage(module) else {})
        texts.append(f"::: {module}\n    options: {json.dumps(options)}\n")
    return "\n".join(texts)


def is_passage(module: str) -> bool:
    """Whether a module is a room's own file."""
    return (ROOT / module.replace(".", "/") / "__init__.py").exists() and module != "policy_port"


def on_page_markdown(markdown: str, page: Page, config: MkDocsConfig, files: Files) -> str:
    """Turn each link that leads to a part of the repository into one to what stands for it in the site."""
    folder = posixpath.dirname(page.file.src_uri)

    def in_site(link: re.Match[str]) -> str:
        path = posixpath.normpath(posixpath.join(folder, link[1]))
        return posixpath.relpath(place_in_site(path), folder or ".") if (ROOT / path).exists() else link[1]

    return markdown if page.file.src_uri.startswith("api/") else LINK.sub(in_site, markdown)
