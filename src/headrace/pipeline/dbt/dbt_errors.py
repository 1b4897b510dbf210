"""What dbt's errors say: one line, and the place in the user's own file.

dbt's message has a header (``Runtime Error in model orders (models/orders.sql)``) and an indented
body: DuckDB's words with a line of the SQL that it ran, a table of a contract's mismatches, Jinja's
line, a traceback of Python. The line of the SQL that ran is found in the compiled SQL, and that of
the compiled SQL in the model's file.
"""

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from difflib import SequenceMatcher
from pathlib import Path
from typing import Any

from headrace.error_detail import ErrorDetail, Mismatch, excerpt, in_file, read_lines, relative
from headrace.formatting import count, first_few, one_line

_HEADER = re.compile(r"^(?:[A-Z]\w+ )+Error(?: in (?P<what>.+?))?(?: \((?P<path>[^()]+)\))?$")
_SQL_LINE = re.compile(r"^LINE (?P<line>\d+): (?P<text>.*)$")
_CONTRACT = "enforced contract that failed"
_STACK = re.compile(r"^> (?:in|called by) .+ \((?P<path>[^()]+)\)$")
_TRACEBACK = "Traceback (most recent call last):"
_FRAME = re.compile(r'^\s*File "(?P<path>[^"]+)", line (?P<line>\d+)')
_NAMED = re.compile(
    r"'(?P<name>[\w.]+)' (?:is undefined|which was not found)|named '(?P<node>[^']+)' which"
)
_UNIT_TEST = re.compile(r"^An error occurred during execution of unit test .* Runtime Error ")
_MOST = 400  # characters of the one line
_RAW = "Raw Error:"


@dataclass(frozen=True)
class DbtProjectFiles:
    """Where the files are that dbt names.

    Attributes:
        root: of the Headrace project.
        dbt: the dbt project's directory.
        compiled: dbt's target directory.
    """

    root: Path
    dbt: Path
    compiled: Path

    def find(self, name: str, package: str | None = None) -> Path | None:
        """The file that dbt calls so: from its project, a package, or a folder of models."""
        places = [self.dbt / name]
        if package:
            places.append(self.dbt / "dbt_packages" / package / name)
        for path in places:
            if path.is_file():
                return path
        end = f"/{Path(name).as_posix()}"
        found = [path for path in self.files(Path(name).name) if path.as_posix().endswith(end)]
        return found[0] if len(found) == 1 else None

    def files(self, pattern: str) -> Iterator[Path]:
        """The user's own files of the dbt project whose names fit a pattern."""
        ignored = {"target", "dbt_packages", "logs"}
        for path in self.dbt.rglob(pattern):
            if not ignored.intersection(path.relative_to(self.dbt).parts):
                yield path


def explain(
    message: str, node: Any, project: DbtProjectFiles, *, tested: Any = None
) -> tuple[str, ErrorDetail | None]:
    """An error as one line, and its detail.

    Args:
        message: dbt's.
        node: the node of dbt's manifest that it is about; None if it is about none.
        project: where the files are.
        tested: the model of a unit test, whose SQL may be what is wrong.
    """
    said = replace(_Said.of(message, node, project), tested=tested)
    for read in (_contract, _sql, _python, _jinja, _block, _yaml, _schema, _named, _rest):
        found = read(said)
        if found is not None:
            line, detail = found
            place = f"{detail.file} line {detail.line}: " if detail and detail.line else ""
            return f"{place}{one_line(line, _MOST)}", detail
    return one_line(message, _MOST), None


@dataclass(frozen=True)
class _Said:
    """dbt's message in parts.

    Attributes:
        body: the lines below the header, without their indentation.
        stack: the user's own files among those that dbt was in, innermost first.
        path: the user's own file that the message is about.
        node: of dbt's manifest.
        project: where the files are.
        tested: the model of a unit test.
    """

    body: tuple[str, ...]
    stack: tuple[Path, ...]
    path: Path | None
    node: Any
    project: DbtProjectFiles
    tested: Any = None

    @classmethod
    def of(cls, message: str, node: Any, project: DbtProjectFiles) -> "_Said":
        first, *rest = message.strip().splitlines() or [""]
        header = _HEADER.match(first.strip())
        lines = [line.removeprefix("  ").rstrip() for line in rest]
        if header is None:
            lines = [first, *lines]
        package = getattr(node, "package_name", None)
        name = getattr(node, "original_file_path", None) or (header and header["path"])
        calls = [found["path"] for line in lines if (found := _STACK.match(line.strip()))]
        stack = [path for call in calls if (path := project.find(call)) is not None]
        body = [line for line in lines if not _STACK.match(line.strip())]
        while body and not body[-1].strip():
            body.pop()
        path = project.find(name, package) if name else None
        return cls(tuple(body) or (first,), tuple(stack), path, node, project)

    def at(self, line: int | None, column: int | None = None) -> ErrorDetail | None:
        """A place in the file that the message is about."""
        return in_file(self.path, self.project.root, line, column) if self.path else None

    def words(self, until: int) -> str:
        """The first lines of the body, as one."""
        return " ".join(line.strip() for line in self.body[:until] if line.strip())


_Found = tuple[str, ErrorDetail | None]


def _contract(said: _Said) -> _Found | None:
    """dbt's table of columns whose types differ from the contract's."""
    if _CONTRACT not in said.words(3):
        return None
    rows = [line.strip().strip("|").split("|") for line in said.body if line.startswith("|")]
    cells = [[cell.strip() for cell in row] for row in rows[2:] if len(row) == 4]
    found = tuple(Mismatch(*row) for row in cells)
    if not found:
        return None
    names = first_few([mismatch.column for mismatch in found])
    verb = "differs" if len(found) == 1 else "differ"
    yml = str(getattr(said.node, "patch_path", None) or "").partition("://")[2]
    path = said.project.find(yml) if yml else None
    where = f" in {relative(path, said.project.root)}" if path else ""
    line = f"{count(len(found), 'column')} {verb} from the model's contract{where}: {names}"
    detail = said.at(None) or ErrorDetail()
    return line, replace(detail, mismatches=found)


def _sql(said: _Said) -> _Found | None:
    """DuckDB's words, and the line of SQL with a caret."""
    at = next((at for at, line in enumerate(said.body) if _SQL_LINE.match(line.strip())), None)
    if at is None:
        return None
    head = said.body[at].strip()
    found = _SQL_LINE.match(head)
    assert found is not None  # looked up above
    caret = said.body[at + 1].find("^") if at + 1 < len(said.body) else -1
    shown = found["text"]
    # both lines lost the same indentation
    column = caret - said.body[at].find(shown) if caret >= 0 else None
    about = said
    if said.tested is not None:
        path = said.project.find(said.tested.original_file_path, said.tested.package_name)
        about = replace(said, node=said.tested, path=path)
    detail = _in_model(about, int(found["line"]), shown, column)
    if detail is None:
        drawn = "\n".join(said.body[at : at + 2])
        detail = replace(said.at(None) or ErrorDetail(), excerpt=drawn)
    return _UNIT_TEST.sub("", said.words(at)) or head, detail


def _in_model(said: _Said, line: int, shown: str, column: int | None) -> ErrorDetail | None:
    """The place of a line of the SQL that ran: in the model's file, or else in compiled SQL."""
    compiled = str(getattr(said.node, "compiled_code", None) or "").splitlines()
    if not compiled and said.path is not None:  # of a unit test's model
        compiled = read_lines(said.path)
    # DuckDB cuts a long line on both sides
    words = shown.removeprefix("...").removesuffix("...")
    same = [number for number, text in enumerate(compiled) if words.strip() and words in text]
    if len(same) > 1:
        same = list(_by_position(said, line, compiled, same))
    if len(same) != 1:
        return None
    number = same[0]
    if column is not None:
        cut = len("...") if shown.startswith("...") else 0
        column = compiled[number].find(words) + column - cut + 1
    if said.path is not None:
        lines = read_lines(said.path)
        own = _line_in(lines, compiled, number)
        if own is not None:
            is_same = lines[own] == compiled[number]
            drawn = excerpt(
                lines if is_same else compiled, (own if is_same else number) + 1, column
            )
            name = relative(said.path, said.project.root)
            return ErrorDetail(name, own + 1, column if is_same else None, drawn)
    drawn = excerpt(compiled, number + 1, column)
    path = getattr(said.node, "compiled_path", None)
    if not path:
        return replace(said.at(None) or ErrorDetail(), excerpt=drawn)
    return ErrorDetail(relative(Path(path), said.project.root), number + 1, column, drawn)


def _by_position(
    said: _Said, line: int, compiled: Sequence[str], same: Sequence[int]
) -> Iterator[int]:
    """Which of equal lines it is: dbt keeps the statement that it ran around the compiled SQL."""
    path = getattr(said.node, "original_file_path", None)
    package = getattr(said.node, "package_name", None)
    if not path or not package:
        return
    ran = read_lines(said.project.compiled / "run" / package / path)
    length = len(compiled)
    for start in range(len(ran) - length + 1):
        if ran[start : start + length] == list(compiled):
            # dbt puts one line of comment before it
            yield from (number for number in same if start + number + 2 == line)
            return


def _line_in(lines: Sequence[str], compiled: Sequence[str], number: int) -> int | None:
    """The line of the file that a line of the compiled SQL was made from; both from 0."""
    blocks = SequenceMatcher(None, compiled, lines, autojunk=False).get_matching_blocks()
    after = (0, 0)
    for block in blocks:
        if block.a <= number < block.a + block.size:
            return block.b + number - block.a
        if after[0] <= number < block.a:
            # one line between equal ones is the one that Jinja changed
            is_one = block.a - after[0] == block.b - after[1] == 1
            return after[1] if is_one else None
        after = (block.a + block.size, block.b + block.size)
    return None


def _python(said: _Said) -> _Found | None:
    """The traceback of a Python model: its last line, and the model's own frame."""
    if _TRACEBACK not in (line.strip() for line in said.body):
        return None
    ends = [line for line in said.body if line.strip() and not line.startswith(" ")]
    frames = [found for line in said.body if (found := _FRAME.match(line))]
    # dbt-duckdb runs a copy of the model's file, which is deleted at the end
    own = [frame for frame in frames if not Path(frame["path"]).exists()]
    own = [frame for frame in own if Path(frame["path"]).is_absolute()]
    detail = said.at(int(own[-1]["line"]) if own else None)
    return ends[-1], detail


def _jinja(said: _Said) -> _Found | None:
    """Jinja's words, the line and its text."""
    for at, line in enumerate(said.body):
        found = re.match(r"^\s*line (\d+)$", line)
        if found is not None:
            text = said.body[at + 1].strip() if at + 1 < len(said.body) else ""
            lines = read_lines(said.path) if said.path else []
            number = _near(lines, int(found[1]), lambda one: one.strip() == text)  # noqa: B023
            return said.words(at), said.at(number)
    inline = re.search(r"\((?P<name>\S+\.py), line (?P<line>\d+)\)$", said.body[0])
    if inline is not None:
        path = said.project.find(inline["name"])
        said = replace(said, path=path or said.path)
        return said.body[0][: inline.start()].strip(), said.at(int(inline["line"]))
    return None


def _block(said: _Said) -> _Found | None:
    """A block of Jinja without its other end: dbt names its line, and no file."""
    words = said.words(len(said.body))
    at = re.search(r"\s*\(@ (\d+):\d+\)$", words)
    tag = re.search(r"\bgot (?:an? )?(\w+)", words)
    if at is None or tag is None:
        return None
    line, block = int(at[1]), re.compile(rf"{{%-?\s*{tag[1]}\b")
    found = [
        path
        for path in said.project.files("*.sql")
        if any(map(block.search, read_lines(path)[line - 1 : line]))
    ]
    if len(found) == 1:
        said = replace(said, path=found[0])
    return words[: at.start()], said.at(line)


def _near(lines: Sequence[str], line: int, fits: Callable[[str], bool]) -> int:
    """The line that fits and is nearest to one that dbt counted without blank lines above."""
    fitting = [number for number, one in enumerate(lines, start=1) if fits(one)]
    return min(fitting, key=lambda number: abs(number - line), default=line)


def _yaml(said: _Said) -> _Found | None:
    """A file that is not YAML."""
    raw = next((at for at, line in enumerate(said.body) if line.strip() == _RAW), None)
    if raw is None:
        return None
    named = re.search(r"Error reading [^:]+: (\S+)", said.body[0])
    name = named[1] if named else "dbt_project.yml"
    path = said.project.find(name)
    said = replace(said, path=path)
    lines = [line.strip() for line in said.body[raw + 1 :] if line.strip("- ")]
    marks = [re.search(r"line (\d+), column (\d+)", line) for line in lines]
    last = [mark for mark in marks if mark is not None]
    words = [line for line, mark in zip(lines, marks, strict=True) if mark is None]
    if not last:
        return f"{name} is not valid YAML: {' '.join(words)}", said.at(None)
    line, column = int(last[-1][1]), int(last[-1][2])
    detail = said.at(line, column) or ErrorDetail(name, line, column)
    return f"not valid YAML: {words[-1] if words else 'see there'}", detail


def _schema(said: _Said) -> _Found | None:
    """A yml whose keys are not what dbt takes."""
    found = re.match(
        r"Invalid (?P<kind>\S+) config given in (?P<path>\S+) @ (?P<key>[^:]+): (?P<entry>.*) - "
        r"(?P<why>at path .*|.*)$",
        " ".join(said.body),
    )
    if found is None:
        return None
    said = replace(said, path=said.project.find(found["path"]))
    name = re.search(r"'name': '([^']+)'", found["entry"])
    line = _line_with(said, rf"name:\s*[\"']?{re.escape(name[1])}\b") if name else None
    return f"not what dbt takes for {found['key']}: {found['why']}", said.at(line)


def _named(said: _Said) -> _Found | None:
    """A name that dbt does not know: the first line that holds it."""
    words = said.words(len(said.body))
    found = _NAMED.search(words)
    if found is None:
        return None
    inside = re.search(r"\(([^()\s]+\.\w+)\)", words)
    if said.path is None and inside is not None:
        said = replace(said, path=said.project.find(inside[1]))
    line = _line_with(said, rf"\b{re.escape(found['name'] or found['node'])}\b")
    return words, said.at(line)


def _line_with(said: _Said, pattern: str) -> int | None:
    lines = read_lines(said.path) if said.path else []
    return next((n for n, line in enumerate(lines, start=1) if re.search(pattern, line)), None)


def _rest(said: _Said) -> _Found | None:
    """Any other message: its first paragraph is the line, what follows is kept as it is."""
    body = said.body
    blank = next((at for at, line in enumerate(body) if not line.strip()), len(body))
    files = list(dict.fromkeys([*said.stack, *([said.path] if said.path else [])]))
    more = list(body[blank:])
    while more and not more[0].strip():
        more.pop(0)
    if len(files) > 1:
        names = [relative(path, said.project.root) for path in files[1:]]
        more.append(f"called by {', '.join(names)}")
    line = None
    if said.tested is not None:
        line = _line_with(said, rf"name:\s*[\"']?{re.escape(said.node.name)}\b")
    detail = in_file(files[0], said.project.root, line) if files else ErrorDetail()
    text = said.words(blank).removesuffix(":")
    return text, replace(detail, excerpt="\n".join(more) or detail.excerpt)
