"""Settings of the documentation site: `make docs` builds it with Sphinx into build/docs."""

import dataclasses
import importlib.util
import pkgutil
import re
import sys
from pathlib import Path
from typing import Any, get_type_hints

from docutils import nodes
from sphinx.addnodes import pending_xref
from sphinx.util.typing import stringify_annotation

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

import mawm

project = "mawm"
author = "the authors of mawm"
version = release = mawm.__version__
extensions = ["sphinx.ext.autodoc", "myst_parser"]

myst_heading_anchors = 4  # links to headings, such as studies.md#numbers, work as on GitHub
myst_enable_extensions = ["colon_fence"]
autodoc_default_options = {"members": True, "member-order": "bysource"}
autodoc_typehints_format = "short"
python_maximum_signature_line_length = 88
toc_object_entries = False  # hundreds of functions in the navigation of every page help nobody, and they cost time
smartquotes = False  # they would turn --option into a dash
default_role = "code"  # docstrings write code between single backticks, as Markdown does

html_theme = "furo"
html_title = f"mawm {release}"
html_static_path = ["site"]
html_css_files = ["site.css"]
html_show_sphinx = False
html_show_copyright = False
html_copy_source = False
html_theme_options = {
    "light_css_variables": {"color-brand-primary": "#2b5fa3", "color-brand-content": "#2b5fa3"},
    "dark_css_variables": {"color-brand-primary": "#8ab4f0", "color-brand-content": "#8ab4f0"},
    "top_of_page_buttons": [],  # they lead to a public repository, and the site does not know one
}


def modules_of(package: str) -> list[str]:
    """The names of a package's modules, in order, with those of its inner packages; of a module: its own name."""
    found = importlib.util.find_spec(package)
    assert found is not None, f"there is no module {package}"
    places = found.submodule_search_locations
    inner = [] if places is None else pkgutil.walk_packages(list(places), f"{package}.")
    names = [module.name for module in inner if not module.ispkg]
    return names if places is not None else [package]


def described(module: str) -> str:
    """A section of a page with everything that the docstrings of a module say."""
    return f"## `{module}`\n\n```{{eval-rst}}\n.. automodule:: {module}\n```\n"


def fill_reference(app: Any, name: str, source: list[str]) -> None:
    """Put the descriptions of modules in the place of a comment such as `<!-- modules: mawm.types mawm.sharing -->`.

    GitHub does not show the comment. So a page of the reference is readable there, too, and a new module of a package
    is on the site without another line.
    """
    found = r"<!-- modules: ([\w. ]+) -->"
    source[0] = re.sub(
        found, lambda match: "\n".join(described(m) for p in match[1].split() for m in modules_of(p)), source[0]
    )


def escape_bars(app: Any, what: str, name: str, value: Any, options: Any, lines: list[str]) -> None:
    """Escape what docstrings write as mathematics (|x|, s_) and reStructuredText would read as a reference."""
    for i, line in enumerate(lines):
        parts = line.split("`")
        parts[::2] = [re.sub(r"\||(?<=\w)_(?=\W|$)", r"\\\g<0>", text) for text in parts[::2]]
        lines[i] = "`".join(parts)


def show_fields(app: Any, what: str, name: str, value: Any, options: Any, signature: Any, returns: Any) -> Any:
    """The signature of a dataclass: its fields without the ranges of settings, which are shown at each field."""
    if what != "class" or not dataclasses.is_dataclass(value):
        return None
    try:
        types = get_type_hints(value)
    except NameError:  # a type that is imported only for type checking
        types = {}
    shown = []
    for field in dataclasses.fields(value):
        kind = f": {stringify_annotation(types[field.name], 'smart')}" if field.name in types else ""
        default = repr(field.default) if isinstance(field.default, int | float | str | None) else "..."
        needed = field.default is dataclasses.MISSING and field.default_factory is dataclasses.MISSING
        shown.append(f"{field.name}{kind}" if needed else f"{field.name}{kind} = {default}")
    return f"({', '.join(shown)})", None


def resolve_exact_names(app: Any, tree: nodes.document) -> None:
    """Look up types by their full names only.

    The search for every name that ends like `int` or `Tensor` takes a fifth of the build and finds nothing.
    """
    for node in tree.findall(pending_xref):
        node.attributes.pop("refspecific", None)


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("source-read", fill_reference)
    app.connect("autodoc-process-docstring", escape_bars)
    app.connect("autodoc-process-signature", show_fields)
    app.connect("doctree-read", resolve_exact_names)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
