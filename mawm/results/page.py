"""One self-contained HTML page; every text from outside passes through `escape`."""

from collections.abc import Sequence
from html import escape
from pathlib import Path

from mawm.results.document import Bullets, Item, Picture, Text
from mawm.results.images import data_address
from mawm.results.tables import Table

STYLE = """
:root { color-scheme: light; --line: #d8d8d8; --soft: #f6f6f6; }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 80rem; color: #1a1a1a; background: #fff;
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { margin-top: 2.5rem; font-size: 1.25rem; }
h3 { margin: 1.75rem 0 .25rem; font-size: 1.05rem; }
p.note, figcaption { margin: .25rem 0 .5rem; color: #555; font-size: .875rem; }
.scroll { overflow-x: auto; border: 1px solid var(--line); border-radius: 6px; }
.scroll:focus-visible { outline: 2px solid #1f5fbf; }
table { border-collapse: collapse; width: 100%; font-size: .875rem; font-variant-numeric: tabular-nums; }
th, td { padding: .4rem .7rem; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top;
  white-space: nowrap; overflow-wrap: normal; }
thead th { background: var(--soft); white-space: normal; min-width: 5rem; }
tbody tr:last-child > * { border-bottom: 0; }
tbody th { position: sticky; left: 0; background: #fff; font-weight: 600; }
@media (max-width: 700px) { tbody th { position: static; white-space: normal; min-width: 8.5rem; } }
figure { margin: 1.5rem 0; } img { display: block; max-width: 100%; height: auto; margin: 0 auto; }
code { font-family: ui-monospace, Menlo, Consolas, monospace; font-size: .9em; }
footer { margin-top: 3rem; border-top: 1px solid var(--line); color: #555; font-size: .875rem; }
"""


def write_page(out: Path, title: str, items: Sequence[Item], footer: str) -> None:
    """Write the whole page."""
    body = "\n".join(_element(item) for item in items)
    out.write_text(
        '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
        '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
        f'<link rel="icon" href="data:,">\n<title>{escape(title)}</title>\n<style>{STYLE}</style>\n</head>\n<body>\n'
        f"<main>\n<h1>{escape(title)}</h1>\n{body}\n</main>\n"
        f"<footer><p>{escape(footer)}</p></footer>\n</body>\n</html>\n",
        encoding="utf-8",
    )


def _element(item: Item) -> str:
    if isinstance(item, Text):
        tag = f"h{item.level}" if item.level else "p"
        return f"<{tag}>{escape(item.text)}</{tag}>"
    if isinstance(item, Bullets):
        return "<ul>\n" + "\n".join(f"<li>{escape(line)}</li>" for line in item.lines) + "\n</ul>"
    return _figure(item) if isinstance(item, Picture) else _table(item)


def _table(table: Table) -> str:
    """A table in a box of its own that scrolls where the page is too narrow."""
    head = "".join(f'<th scope="col">{escape(cell)}</th>' for cell in table.header)
    rows = "\n".join(
        f'<tr><th scope="row">{escape(first)}</th>' + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>"
        for first, *rest in table.rows
    )
    return (
        f'<h3>{escape(table.title)}</h3>\n<p class="note">{escape(table.note)}</p>\n'
        f'<div class="scroll" role="region" tabindex="0" aria-label="{escape(table.title)}"><table>\n'
        f"<thead><tr>{head}</tr></thead>\n<tbody>\n{rows}\n</tbody></table></div>"
    )


def _figure(picture: Picture) -> str:
    wide, narrow = data_address(picture.wide), data_address(picture.narrow)
    return (
        f'<figure><picture><source media="(max-width: 700px)" srcset="{escape(narrow)}">'
        f'<img src="{escape(wide)}" alt="{escape(picture.caption)}"></picture>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )
