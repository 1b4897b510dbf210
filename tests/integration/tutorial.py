"""A page whose commands and edits can be done: what it says to type, to change, and to expect.

A ``console`` block holds commands (``$ `` in front) and what they print; a line ``...`` stands for
any lines. A block with a ``title`` is a file: a ``diff`` changes it, anything else is its whole
content. A command ends with 0, unless the next one is ``echo $?``.
"""

import re
from dataclasses import dataclass
from pathlib import Path

_BLOCK = re.compile(r"^```(\w+)(?: title=\"([^\"]+)\")?\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_VARIES = (
    (r"\x1b\[[0-9;]*m", ""),
    (r"\d{4}-\d\d-\d\d \d\d:\d\d:\d\d", "DATE TIME"),
    (r"\b\d+(?:\.\d+)? (?:ms|s)\b", "N s"),
    (r"\(start-up N s · ", "("),  # there is none where a test calls the command in its process
    (r" · profiles N s\)", ")"),  # where they take long
    (r"[\d,]+ rows/s", "N rows/s"),
    (r"\b\d+(?:\.\d+)? [kM]B\b", "SIZE"),
    (r"127\.0\.0\.1:\d+", "ADDRESS"),
    (r"[ \t]+$", ""),
)


@dataclass(frozen=True)
class Command:
    """A line to type, and what is printed then.

    Attributes:
        line: as on the page, for bash.
        output: the lines below it; ``...`` stands for any number of lines.
        code: the exit code that the page says it has.
    """

    line: str
    output: tuple[str, ...]
    code: int = 0


@dataclass(frozen=True)
class Edit:
    """A file to write or to change.

    Attributes:
        path: from the root of the project.
        content: the whole file, or a diff of one place in it.
        is_diff: which of the two.
    """

    path: str
    content: str
    is_diff: bool

    def apply(self, root: Path) -> None:
        """Do what the page says; the place must be there, and once."""
        path = root / self.path
        if not self.is_diff:
            assert not path.exists(), f"{self.path} is there already"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(self.content, encoding="utf-8")
            return
        lines = self.content.splitlines(keepends=True)
        assert all(line[0] in " +-" or line == "\n" for line in lines), self.content
        before = "".join(line[1:] or "\n" for line in lines if line[0] != "+")
        after = "".join(line[1:] or "\n" for line in lines if line[0] != "-")
        text = path.read_text(encoding="utf-8")
        assert before.strip(), f"{self.path}: the diff names no place"
        assert text.count(before) == 1, f"{self.path}: {text.count(before)} places like\n{before}"
        path.write_text(text.replace(before, after), encoding="utf-8")


def steps(page: str) -> list[Command | Edit]:
    """What a page tells to do, in its order."""
    found: list[Command | Edit] = []
    for language, title, body in _BLOCK.findall(page):
        if title:
            found.append(Edit(title, body, is_diff=language == "diff"))
        elif language == "console":
            found += _commands(body)
    return found


def _commands(body: str) -> list[Command]:
    found: list[Command] = []
    for part in re.split(r"^\$ ", body.replace("\\\n", ""), flags=re.MULTILINE)[1:]:
        line, _, output = part.partition("\n")
        if line == "echo $?":
            last = found.pop()
            found.append(Command(last.line, last.output, int(output)))
        else:
            found.append(Command(line, tuple(output.rstrip().splitlines())))
    return found


def same(text: str) -> list[str]:
    """The lines of an output without what differs from one time to the next, and empty ones."""
    for pattern, stands_for in _VARIES:
        text = re.sub(pattern, stands_for, text, flags=re.MULTILINE)
    return [line for line in text.splitlines() if line.strip()]


def difference(expected: tuple[str, ...], actual: str) -> str:
    """What of the page's output was not printed; empty where all was, in this order."""
    printed = same(actual)
    at, anything = 0, False
    for line in same("\n".join(expected)):
        if line == "...":
            anything = True
            continue
        place = next((i for i in range(at, len(printed)) if printed[i] == line), None)
        if place is None or (place != at and not anything):
            got = printed[at] if at < len(printed) else "nothing more"
            return f"the page says:  {line}\nprinted was:    {got}"
        at, anything = place + 1, False
    if at < len(printed) and not anything and expected:
        return f"the page leaves out: {printed[at]}"
    return ""
