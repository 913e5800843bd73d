"""What a report says, before it is known whether it becomes a page or a Markdown file."""

from dataclasses import dataclass

from matplotlib.figure import Figure

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
    """A figure with panels side by side, and one below the other for a narrow screen."""

    name: str
    caption: str
    wide: Figure
    narrow: Figure


Item = Text | Bullets | Picture | Table
