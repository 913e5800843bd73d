"""A report's items, and its output as an HTML page (template `page.html`) or as Markdown with PNG figures."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import matplotlib as mpl
from jinja2 import Environment, PackageLoader
from matplotlib.figure import Figure

from mawm.results.drawing import SETTINGS
from mawm.results.tables import Table


@dataclass(frozen=True)
class Text:
    """A paragraph, or a heading of level 2 or 3."""

    text: str
    level: int = 0


@dataclass(frozen=True)
class Bullets:
    """A list."""

    lines: tuple[str, ...]


@dataclass(frozen=True)
class Picture:
    """A figure with panels side by side, and with one panel per row for a narrow screen."""

    name: str
    caption: str
    wide: Figure
    narrow: Figure


Item = Text | Bullets | Picture | Table


def image(figure: Figure, kind: str) -> bytes:
    """A figure as PNG or SVG; the same figure gives the same bytes."""
    target = io.BytesIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(target, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return target.getvalue()


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write a figure as PNG and SVG; returns the paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        path.write_bytes(image(figure, path.suffix[1:]))
    return paths


def data_address(figure: Figure) -> str:
    """A figure as a `data:` URL with the whole SVG."""
    return "data:image/svg+xml;base64," + base64.b64encode(image(figure, "svg")).decode()


def write_page(out: Path, title: str, items: Sequence[Item], footer: str) -> None:
    """Write one self-contained HTML page; jinja2 escapes every text."""
    template = Environment(loader=PackageLoader("mawm.results", "."), autoescape=True).get_template("page.html")
    text = template.render(title=title, items=items, footer=footer, data_address=data_address)
    out.write_text(text + "\n", encoding="utf-8")


def write_markdown(out: Path, title: str, items: Sequence[Item], footer: str) -> None:
    """Write the Markdown file, and `STEM_FIGURE.png` for every picture."""
    blocks = [f"# {_escaped(title)}", *(_block(item, out) for item in items), _escaped(footer)]
    out.write_text("\n\n".join(blocks) + "\n", encoding="utf-8")


def _block(item: Item, out: Path) -> str:
    if isinstance(item, Text):
        return f"{'#' * item.level} {_escaped(item.text)}" if item.level else _escaped(item.text)
    if isinstance(item, Bullets):
        return "\n".join(f"- {_escaped(line)}" for line in item.lines)
    if isinstance(item, Picture):
        path = out.with_name(f"{out.stem}_{item.name}.png")
        path.write_bytes(image(item.wide, "png"))
        return f"![{_escaped(item.caption)}]({quote(path.name)})\n\n*{_escaped(item.caption)}*"
    rows = [item.header, ("---",) * len(item.header), *item.rows]
    lines = ["| " + " | ".join(_escaped(cell) for cell in row) + " |" for row in rows]
    return f"### {_escaped(item.title)}\n\n{_escaped(item.note)}\n\n" + "\n".join(lines)


def _escaped(text: str) -> str:
    """Text in one line, with Markdown's special characters escaped."""
    return re.sub(r"([|<>*_`\[\]\\~$&#])", r"\\\1", " ".join(text.split()))
