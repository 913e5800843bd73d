"""Topologies of the link: which agent receives from which other agent."""

import difflib
from collections.abc import Callable
from pathlib import Path

from mawm.sharing.waiting import Edge

Edges = frozenset[Edge]
LARGEST_FILE = 1 << 20
"""Maximum bytes of a file with edges; a line has some 20 bytes, and 200 fully connected agents have 39,800 lines."""


def full(agents: int) -> Edges:
    """Every agent receives from every other one."""
    return frozenset((i, j) for i in range(agents) for j in range(agents) if i != j)


def ring(agents: int) -> Edges:
    """Every agent receives from the agent before it; the first one receives from the last one."""
    return frozenset((i, (i + 1) % agents) for i in range(agents)) if agents > 1 else frozenset()


def star(agents: int) -> Edges:
    """The first agent receives from every other one, and every other one receives from the first."""
    return frozenset(edge for i in range(1, agents) for edge in ((0, i), (i, 0)))


TOPOLOGIES: dict[str, Callable[[int], Edges]] = {"full": full, "ring": ring, "star": star}
"""For each value of `--link.topology` a function that gives the edges of a number of agents."""


def edges_of(topology: str, names: tuple[str, ...]) -> Edges:
    """The edges of a topology, or of a file with edges, for agents with these names. ValueError for a wrong file."""
    if topology in TOPOLOGIES:
        return TOPOLOGIES[topology](len(names))
    numbers = {name: number for number, name in enumerate(names)}
    found: dict[Edge, int] = {}
    for line, ends in named_edges(topology):
        for name in ends:
            if name not in numbers:
                raise ValueError(f"{_place(topology, line)}: there is no agent {name!r}{_nearest(name, names)}")
        edge = numbers[ends[0]], numbers[ends[1]]
        if edge in found:
            raise ValueError(f"{_place(topology, line)}: line {found[edge]} has the same edge; remove one of them")
        found[edge] = line
    return frozenset(found)


def is_file(topology: str) -> bool:
    """Whether a topology is the path of a file."""
    try:
        return topology not in TOPOLOGIES and Path(topology).is_file()
    except (OSError, ValueError):  # a name that is too long, or with a zero byte
        return False


def named_edges(path: str) -> list[tuple[int, tuple[str, str]]]:
    """The edges in a file: for each the number of its line, and the names of its sender and its receiver.

    ValueError, with the number of the line, for a file that cannot be read or a line that is not SENDER,RECEIVER.
    """
    try:
        if Path(path).stat().st_size > LARGEST_FILE:
            raise ValueError(f"link.topology {path}: the file must be at most {LARGEST_FILE:,} bytes long")
        text = Path(path).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8 text"
        raise ValueError(f"link.topology {path}: the file cannot be read ({reason})") from None
    edges = []
    for number, line in enumerate(text.splitlines(), start=1):
        content = line.partition("#")[0].strip()
        if not content:
            continue
        ends = [name.strip() for name in content.split(",")]
        if len(ends) != 2 or not all(ends):
            raise ValueError(f"{_place(path, number)}: it must be SENDER,RECEIVER; got {content[:60]!r}")
        if ends[0] == ends[1]:
            raise ValueError(f"{_place(path, number)}: {ends[0]} cannot send to itself; name another receiver")
        edges.append((number, (ends[0], ends[1])))
    if not edges:
        raise ValueError(f"link.topology {path}: the file must have at least one line SENDER,RECEIVER")
    return edges


def _place(path: str, line: int) -> str:
    return f"link.topology {path}, line {line}"


def _nearest(name: str, names: tuple[str, ...]) -> str:
    close = difflib.get_close_matches(name, names, 1, 0.4)
    proposal = f"; did you mean {close[0]!r}?" if close else ""
    return f"{proposal} (the agents are {', '.join(names[:8])}{', ...' if len(names) > 8 else ''})"
