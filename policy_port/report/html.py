"""A report as one HTML file: no script, nothing fetched, pictures inside."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from html import escape

from policy_port.report.page import Picture, Report, Table

# Pictures keep a white ground in the dark: they are drawn for paper.
STYLE = """
:root { color-scheme: light dark; --ink: #1c2430; --paper: #fdfdfc; --faint: #667080; --line: #d8dce2;
  --good: #1c7a45; --bad: #b3261e; --neutral: #1f5fa8; --wash: #f1f3f5; }
@media (prefers-color-scheme: dark) {
  :root { --ink: #e4e7eb; --paper: #15181d; --faint: #9aa4b2; --line: #343b45;
    --good: #5fc98b; --bad: #ff8a80; --neutral: #8ab8f0; --wash: #1e232a; } }
* { box-sizing: border-box; }
body { margin: 2.2rem auto; max-width: 66rem; padding: 0 1.2rem; background: var(--paper); color: var(--ink);
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; }
h1 { font-size: 1.45rem; line-height: 1.25; margin: 0 0 .9rem; overflow-wrap: anywhere; }
h2 { font-size: 1.02rem; margin: 2rem 0 .5rem; }
.verdict { border-left: .32rem solid var(--neutral); background: var(--wash); padding: .75rem 1rem; margin: 0 0 1rem;
  font-size: 1.06rem; }
.verdict.good { border-color: var(--good); } .verdict.bad { border-color: var(--bad); }
.warning { border-left: .32rem solid #c98a00; padding: .3rem 1rem; margin: .4rem 0; }
.scroll { overflow-x: auto; }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
th, td { text-align: left; vertical-align: top; padding: .28rem 1.1rem .28rem 0; border-bottom: 1px solid var(--line); }
thead th { border-bottom: 2px solid var(--line); }
tbody th { font-weight: 500; color: var(--faint); white-space: nowrap; }
td { overflow-wrap: anywhere; min-width: 6rem; }
.note { color: var(--faint); font-size: .86rem; margin: .4rem 0 0; }
img { display: block; max-width: 100%; height: auto; background: #fff; border-radius: 4px; }
pre { background: var(--wash); padding: .8rem 1rem; overflow-x: auto; font-size: .82rem; line-height: 1.45; }
code, .hash { font-family: ui-monospace, "DejaVu Sans Mono", monospace; font-size: .82rem; overflow-wrap: anywhere; }
footer { margin-top: 2.5rem; color: var(--faint); font-size: .82rem; }
@page { margin: 16mm; }
@media print { :root { --ink: #000; --paper: #fff; --faint: #444; --line: #bbb; --wash: #fff; --good: #1c7a45;
    --bad: #b3261e; --neutral: #1f5fa8; }
  body { margin: 0; max-width: none; font-size: 10pt; } .scroll { overflow: visible; }
  pre { white-space: pre-wrap; } figure, img, tr { break-inside: avoid; } h2 { break-after: avoid; } }
figure { margin: 0; }
""".strip()


def render(report: Report, *, written: str, versions: Mapping[str, str], hashes: Mapping[str, str]) -> str:
    """The page as text.

    Args:
        report: What it says.
        written: When it was written.
        versions: Versions by library.
        hashes: SHA-256 by file.
    """
    body = [
        f"<h1>{escape(report.title)}</h1>",
        f'<p class="verdict {report.tone}">{escape(report.verdict)}</p>',
        *(f'<p class="warning">Warning: {escape(warning)}</p>' for warning in report.warnings),
        *(_table(table) for table in report.tables),
        *(_picture(picture) for picture in report.pictures),
    ]
    if report.text:
        body.append(f"<h2>As printed</h2>\n<pre>{escape(report.text)}</pre>")
    if report.settings:
        body.append(f"<h2>Settings</h2>\n{_pairs(report.settings.items(), '')}")
    if hashes:
        body.append(f"<h2>Files (SHA-256)</h2>\n{_pairs(hashes.items(), 'hash')}")
    body.append(
        f"<h2>Versions</h2>\n<p>{escape(', '.join(f'{name} {number}' for name, number in versions.items()))}</p>"
    )
    body.append(f"<footer>Written by policy-port, {escape(written)}. This file needs no other.</footer>")
    return (
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f"<title>{escape(report.title)}</title>\n<style>\n{STYLE}\n</style>\n</head>\n<body>\n"
        + "\n".join(body)
        + "\n</body>\n</html>\n"
    )


def _table(table: Table) -> str:
    head = "".join(f'<th scope="col">{escape(name)}</th>' for name in table.head)
    rows = "\n".join(_row(row) for row in table.rows)
    note = f'\n<p class="note">{escape(table.note)}</p>' if table.note else ""
    return (
        f'<h2>{escape(table.title)}</h2>\n<div class="scroll"><table>\n'
        + (f"<thead><tr>{head}</tr></thead>\n" if head else "")
        + f"<tbody>\n{rows}\n</tbody></table></div>{note}"
    )


def _row(texts: Iterable[str], style: str = "") -> str:
    first, *others = texts
    kind = f' class="{style}"' if style else ""
    cells = "".join(f"<td{kind}>{escape(text)}</td>" for text in others)
    return f'<tr><th scope="row">{escape(first)}</th>{cells}</tr>'


def _pairs(pairs: Iterable[tuple[str, str]], style: str) -> str:
    rows = "\n".join(_row(pair, style) for pair in pairs)
    return f'<div class="scroll"><table><tbody>\n{rows}\n</tbody></table></div>'


def _picture(picture: Picture) -> str:
    data = base64.b64encode(picture.png).decode("ascii")
    return (
        f"<h2>{escape(picture.title)}</h2>\n"
        f'<figure><img src="data:image/png;base64,{data}" alt="{escape(picture.text)}"></figure>'
    )
