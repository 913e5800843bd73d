"""Finds the commands of README and docs: in shell blocks, and between backticks in the text."""

import re
import shlex
from dataclasses import dataclass
from functools import cache
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
FILLED_IN = {"MAP": "3m", "SEED": "1", "STEPS": "300"}
"""Values for the words that a reader fills in, beside the folder of a run (RUN, RUNS, runs/RUN)."""
PAGES = (ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md")))


@dataclass(frozen=True)
class Documented:
    """A command that a page shows."""

    page: str
    """The page, below the repository's root."""
    words: tuple[str, ...]
    """The words as a shell passes them, without variables before them."""
    block: bool
    """Whether it stands in a shell block, so that a reader copies it."""

    @property
    def module(self) -> str:
        """The module of `python -m module`, or an empty string."""
        return self.words[2] if self.words[0] in ("python", "python3") and self.words[1:2] == ("-m",) else ""

    @property
    def args(self) -> list[str]:
        """The arguments of the module, with values for the words that a reader fills in."""
        return [FILLED_IN.get(word, word) for word in self.words[3:]]


def in_shell(text: str) -> list[tuple[str, ...]]:
    """The commands of a shell text, in order: comments, variables before a command and `&&` are taken off."""
    found = []
    for line in text.replace("\\\n", " ").splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars="&;|")
        lexer.whitespace_split, lexer.commenters = True, "#"
        command: list[str] = []
        for word in [*lexer, "&&"]:
            if set(word) <= set("&;|"):
                found += [tuple(command)] if command else []
                command = []
            elif command or not re.fullmatch(r"[A-Z_]+=.*", word):
                command.append(word)
    return found


@cache
def documented() -> tuple[Documented, ...]:
    """Every command of the pages, each page's in order; a command that only names a module with `...` is left out."""
    found = []
    for path in PAGES:
        page, text = path.relative_to(ROOT).as_posix(), path.read_text("utf-8")
        blocks = re.findall(r"```bash\n(.*?)```", text, re.DOTALL)
        rest = re.sub(r"```.*?```", "", text, flags=re.DOTALL)
        inline = [" ".join(code.split()) for code in re.findall(r"`([^`]+)`", rest)]
        inline = [code for code in inline if re.search(r"python3? -m mawm", code) and "..." not in code]
        for block, texts in ((True, blocks), (False, inline)):
            found += [Documented(page, words, block) for shown in texts for words in in_shell(shown)]
    return tuple(found)


def of_mawm() -> list[Documented]:
    """The commands of this package, each once: the first page that shows it counts."""
    first = {(command.module, *command.args): command for command in reversed(documented())}
    return [command for command in reversed(first.values()) if command.module.partition(".")[0] == "mawm"]
