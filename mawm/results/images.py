"""Figures as files and as text for a page: the same figure gives the same bytes."""

import base64
import io
from pathlib import Path

import matplotlib as mpl
from matplotlib.figure import Figure

from mawm.results.drawing import SETTINGS


def save(figure: Figure, stem: Path) -> list[Path]:
    """Write PNG and SVG; the paths."""
    paths = [stem.with_name(f"{stem.name}.{kind}") for kind in ("png", "svg")]
    for path in paths:
        path.write_bytes(image(figure, path.suffix[1:]))
    return paths


def image(figure: Figure, kind: str) -> bytes:
    """A figure as PNG or SVG."""
    target = io.BytesIO()
    with mpl.rc_context(SETTINGS):
        figure.savefig(target, format=kind, metadata={"Date": None} if kind == "svg" else {"Software": None})
    return target.getvalue()


def data_address(figure: Figure) -> str:
    """A figure as an address that holds the whole SVG."""
    return "data:image/svg+xml;base64," + base64.b64encode(image(figure, "svg")).decode()
