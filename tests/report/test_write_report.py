"""Claims about the page that every report becomes."""

from __future__ import annotations

import base64
import hashlib
import re
from html.parser import HTMLParser
from pathlib import Path

import pytest

from policy_port.errors import OutputError
from policy_port.report import Picture, Report, Table, write_report

PNG = b"\x89PNG not really, but bytes"


def report(**changes: object) -> Report:
    fields = {
        "title": "g1 <in> MuJoCo",
        "verdict": "It stayed up & walked.",
        "warnings": ("only one run",),
        "tables": (Table(title="Numbers", head=("what", "a"), rows=(("survival", "10 s"),), note="seconds"),),
        "pictures": (Picture(name="joints", title="Joints", png=PNG, text='the "knee"'),),
        "settings": {"simulator": "mujoco 3.17.0"},
    }
    return Report(**{**fields, **changes})  # type: ignore[arg-type]


class Links(HTMLParser):
    """Collects what a page would fetch or run."""

    def __init__(self) -> None:
        super().__init__()
        self.fetched: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.fetched += [value or "" for name, value in attrs if name in ("src", "href", "srcset", "action", "data")]


def test_the_page_needs_nothing_else(tmp_path: Path) -> None:
    """No script and no link; each picture is inside, and as a PNG beside it."""
    written = write_report(tmp_path / "report.html", report())
    assert [path.name for path in written] == ["report.html", "report-joints.png"]
    text = written[0].read_text()
    page = Links()
    page.feed(text)
    assert not {"script", "link", "iframe", "object"} & set(page.tags)
    (picture,) = page.fetched
    assert base64.b64decode(picture.removeprefix("data:image/png;base64,")) == PNG == written[1].read_bytes()
    assert not re.search(r"url\(|@import|https?://", text)


def test_the_verdict_stands_first(tmp_path: Path) -> None:
    """Verdict, doubts, numbers, pictures, settings, files, versions: in this order."""
    (tmp_path / "trace.npz").write_bytes(b"abc")
    path, *_ = write_report(tmp_path / "r.html", report(files={"trace.npz": tmp_path / "trace.npz"}))
    text = path.read_text()
    marks = ["stayed up", "only one run", "survival", "data:image", "mujoco 3.17.0", "trace.npz", "numpy "]
    places = [text.index(mark) for mark in marks]
    assert places == sorted(places)
    assert hashlib.sha256(b"abc").hexdigest() in text


def test_texts_are_escaped(tmp_path: Path) -> None:
    """A joint called <script> is shown, not run."""
    table = Table(title="<b>", head=(), rows=(("<script>alert(1)</script>", "&"),))
    path, *_ = write_report(tmp_path / "r.html", report(tables=(table,), text="a < b"))
    text = path.read_text()
    assert "<script" not in text
    assert "&lt;script&gt;" in text
    assert "a &lt; b" in text
    assert "<title>g1 &lt;in&gt; MuJoCo</title>" in text
    assert 'alt="the &quot;knee&quot;"' in text


def test_a_file_that_is_gone_is_said(tmp_path: Path) -> None:
    """No hash is invented."""
    path, *_ = write_report(tmp_path / "r.html", report(files={"gone.npz": tmp_path / "gone.npz"}))
    assert "not there" in path.read_text()


def test_the_tone_marks_the_verdict(tmp_path: Path) -> None:
    """What failed looks different from what did not."""
    path, *_ = write_report(tmp_path / "r.html", report(tone="bad"))
    assert '<p class="verdict bad">' in path.read_text()


def test_what_is_malformed_is_refused(tmp_path: Path) -> None:
    """A ragged table and two pictures of one name are bugs; a missing folder is the user's."""
    with pytest.raises(ValueError, match="rows of"):
        Table(title="t", head=("a", "b"), rows=(("1",),))
    twice = (report().pictures[0],) * 2
    with pytest.raises(ValueError, match="joints, joints"):
        write_report(tmp_path / "r.html", report(pictures=twice))
    with pytest.raises(OutputError):
        write_report(tmp_path / "no" / "r.html", report())
