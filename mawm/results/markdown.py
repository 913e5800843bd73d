"""The report as Markdown, for a repository's docs; its figures lie beside it as PNG."""

import re
from collections.abc import Sequence
from pathlib import Path
from urllib.parse import quote

from mawm.results.document import Bullets, Item, Picture, Text
from mawm.results.images import image
from mawm.results.tables import Table


def write_markdown(out: Path, title: str, items: Sequence[Item], footer: str) -> None:
    """Write the file, and `STEM_FIGURE.png` for every picture."""
    blocks = [f"# {_plain(title)}", *(_block(item, out) for item in items), _plain(footer)]
    out.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _block(item: Item, out: Path) -> str:
    if isinstance(item, Text):
        return f"{'#' * item.level} {_plain(item.text)}" if item.level else _plain(item.text)
    if isinstance(item, Bullets):
        return "\n".join(f"- {_plain(line)}" for line in item.lines)
    if isinstance(item, Picture):
        path = out.with_name(f"{out.stem}_{item.name}.png")
        path.write_bytes(image(item.wide, "png"))
        return f"![{_plain(item.caption)}]({quote(path.name)})\n\n*{_plain(item.caption)}*"
    return _table(item)


def _table(table: Table) -> str:
    rows = [table.header, ("---",) * len(table.header), *table.rows]
    lines = ["| " + " | ".join(_plain(cell) for cell in row) + " |" for row in rows]
    return f"### {_plain(table.title)}\n\n{_plain(table.note)}\n\n" + "\n".join(lines)


def _plain(text: str) -> str:
    """Text from outside as text: no tag, no column and no line of its own."""
    return re.sub(r"([|<>*_`\[\]\\~$&#])", r"\\\1", " ".join(text.split()))
