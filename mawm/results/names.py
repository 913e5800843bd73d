"""The paper's names beside ours."""

from mawm.methods import METHODS

PAPER = {name: plan.paper for name, plan in METHODS.items() if plan.paper}


def method_label(method: str) -> str:
    """The paper's name and ours: `RSSM+Predictors (experience)`; a method the paper has no name for keeps its own."""
    paper = PAPER.get(method)
    return paper or method if paper is None or paper.lower() == method else f"{paper} ({method})"


def bandwidth_label(bandwidth: float) -> str:
    """`bandwidth 0.05`; the paper calls all of it ShareAll."""
    return "ShareAll (bandwidth 1)" if bandwidth >= 1 else f"bandwidth {bandwidth:g}"


def cell_label(method: str, bandwidth: float | None, variant: str = "") -> str:
    """As the paper writes it, `RSSM+Predictors-0.05`, with our name and what else varies in brackets."""
    paper = PAPER.get(method, method)
    sent = "" if bandwidth is None else "-ShareAll" if bandwidth >= 1 else f"-{bandwidth:g}"
    ours = "" if paper.lower() == method else method
    inside = ", ".join(part for part in (ours, variant) if part)
    return f"{paper}{sent} ({inside})" if inside else f"{paper}{sent}"
