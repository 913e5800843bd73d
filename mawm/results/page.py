"""One self-contained HTML page, from the template `page.html`; jinja2 escapes every text."""

from collections.abc import Sequence
from pathlib import Path

from jinja2 import Environment, PackageLoader

from mawm.results.document import Item
from mawm.results.images import data_address


def write_page(out: Path, title: str, items: Sequence[Item], footer: str) -> None:
    """Write the whole page."""
    template = Environment(loader=PackageLoader("mawm.results", "."), autoescape=True).get_template("page.html")
    text = template.render(title=title, items=items, footer=footer, data_address=data_address)
    out.write_text(text + "\n", encoding="utf-8")
