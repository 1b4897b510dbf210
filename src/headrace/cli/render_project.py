"""``headrace new`` and ``update`` on a terminal: progress, and what happened to each file."""

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rich.markup import escape
from rich.text import Text

from headrace.cli.terminal import MARKS, new_console
from headrace.formatting import count, first_few

if TYPE_CHECKING:
    from rich.console import Console

    from headrace.project import LockStatus, NewReport, TemplateAnswer, UpdateReport

_DONE, _LOOK, _BAD, _NONE = (MARKS[one] for one in ("done", "warn", "failed", "skipped"))


@contextmanager
def progress(*, quiet: bool) -> Iterator[Callable[[str], None]]:
    """Show progress on a terminal, from the first message on: questions come before it."""
    screen = new_console()
    live = screen.status("")
    started = False

    def tell(words: str) -> None:
        nonlocal started
        if screen.is_terminal and not quiet:
            live.update(f"{escape(words)} …")
            if not started:
                live.start()
                started = True

    try:
        yield tell
    finally:
        if started:
            live.stop()


def show_new(report: "NewReport") -> None:
    """The new project, what was chosen, and what to do next."""
    screen = new_console()
    of = f", {report.version}" if report.version else ""
    _line(screen, _DONE, f"{report.project}: copied from {report.template}{of}")
    how = "" if report.asked else " (not asked: the defaults, but for what was given)"
    _line(screen, _DONE, f"answers{how}:")
    _answers(screen, report.answers)
    _lock(screen, report.lock)
    repository = report.repository
    if repository.status == "committed":
        _line(screen, _DONE, f"git: first commit '{repository.detail}'")
    else:
        mark = _LOOK if repository.status == "failed" else _NONE
        _line(screen, mark, f"git: no repository made, {repository.detail}")
    for note in report.notes:
        _line(screen, _LOOK, note)
    screen.print("next:")
    for step in report.next_steps:
        # a command is copied: it stays on one line
        screen.print(f"      {escape(step)}", soft_wrap=True)


def show_update(report: "UpdateReport") -> None:
    """What changed, what did not, and what is to be decided."""
    screen = new_console()
    if report.up_to_date:
        _line(screen, _DONE, f"up to date: {report.from_version} of {report.template}")
    else:
        would = "would go" if report.dry_run else "updated"
        way = f"from {report.from_version} to {report.to_version}"
        if report.from_version == report.to_version:
            way = f"to other answers, {report.to_version}"
        _line(screen, _DONE, f"{would} {way} of {report.template}")
        _files(screen, report)
        _answers_of_update(screen, report)
        if not report.dry_run:
            _lock(screen, report.lock)
    for note in report.notes:
        _line(screen, _LOOK, note)
    for conflict in report.conflicts:
        _line(screen, _BAD, f"{conflict.path}: {conflict.what}")
    _next(screen, report)


def _files(screen: "Console", report: "UpdateReport") -> None:
    for mark, words, names in (
        (MARKS["changed"], "changed", report.changed),
        (MARKS["added"], "added", report.added),
        (MARKS["removed"], "removed", report.removed),
        (_NONE, "yours and left alone, changed by the new version", report.kept),
        (_NONE, "new in places that are yours, not added", report.not_added),
        (_NONE, "deleted or renamed by you, changed by the new version", report.stay_deleted),
        (_LOOK, "yours and put back, the merge had overwritten them", report.put_back),
    ):
        if names:
            _line(screen, mark, f"{len(names)} {words}: {first_few(names)}")


def _answers_of_update(screen: "Console", report: "UpdateReport") -> None:
    for answer in report.new_answers:
        words = f"new question {answer.name}: took the default {_text(answer.value)}"
        _line(screen, _LOOK, f"{words}; another by --data {answer.name}=…")
    for answer in report.changed_answers:
        _line(screen, _DONE, f"answer {answer.name}: {_text(answer.value)}")
    if report.dropped_answers:
        _line(screen, _NONE, f"no longer asked: {', '.join(report.dropped_answers)}")


def _next(screen: "Console", report: "UpdateReport") -> None:
    if report.dry_run:
        screen.print("nothing was changed (--dry-run)")
    if not report.undo:
        return
    if report.conflicts:
        screen.print(f"{count(len(report.conflicts), 'file')} to settle, see ✗ above")
    screen.print("next: read `git diff`, run `uv run pytest`, commit. Or take it all back:")
    screen.print(f"      {escape(report.undo)}", soft_wrap=True)


def _lock(screen: "Console", lock: "LockStatus") -> None:
    if lock.status == "locked":
        _line(screen, _DONE, "uv.lock is in line with pyproject.toml")
    else:
        mark = _LOOK if lock.status == "failed" else _NONE
        _line(screen, mark, f"uv.lock was not brought in line: {lock.detail}")


def _answers(screen: "Console", answers: Iterable["TemplateAnswer"]) -> None:
    found = [answer for answer in answers if answer.value != ""]
    width = max((len(answer.name) for answer in found), default=0)
    for answer in found:
        _line(screen, f"    {answer.name:<{width}} ", _text(answer.value))


def _line(screen: "Console", mark: str, text: str) -> None:
    """Print a mark and a text, wrapped with a hanging indent."""
    first = Text.from_markup(mark)
    width = first.cell_len
    for number, line in enumerate(Text(text).wrap(screen, max(20, screen.width - width - 1))):
        line.rstrip()
        start = first if number == 0 else Text(" " * width)
        screen.print(Text.assemble(start, " ", line), soft_wrap=True)


def _text(value: Any) -> str:
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
