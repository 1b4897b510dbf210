"""``headrace new``, ``update``, ``add`` and ``scaffold`` on a terminal: files, next steps."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import typer
from rich.console import Console
from rich.markup import escape
from rich.text import Text

from headrace.cli.terminal import MARKS, LiveScreen, new_console
from headrace.formatting import count, first_few

if TYPE_CHECKING:
    from headrace.add import AddReport
    from headrace.project import LockStatus, NewReport, TemplateAnswer, UpdateReport
    from headrace.scaffold import ByHand, ModelReport, ScaffoldReport


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


def _files(screen: Console, report: "UpdateReport") -> None:
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


def _answers_of_update(screen: Console, report: "UpdateReport") -> None:
    for answer in report.new_answers:
        words = f"new question {answer.name}: took the default {_text(answer.value)}"
        _line(screen, _LOOK, f"{words}; another by --data {answer.name}=…")
    for answer in report.changed_answers:
        _line(screen, _DONE, f"answer {answer.name}: {_text(answer.value)}")
    if report.dropped_answers:
        _line(screen, _NONE, f"no longer asked: {', '.join(report.dropped_answers)}")


def _next(screen: Console, report: "UpdateReport") -> None:
    if report.dry_run:
        screen.print("nothing was changed (--dry-run)")
    if not report.undo:
        return
    if report.conflicts:
        screen.print(f"{count(len(report.conflicts), 'file')} to settle, see ✗ above")
    screen.print("next: read `git diff`, run `uv run pytest`, commit. Or take it all back:")
    screen.print(f"      {escape(report.undo)}", soft_wrap=True)


def _lock(screen: Console, lock: "LockStatus") -> None:
    if lock.status == "locked":
        _line(screen, _DONE, "uv.lock is in line with pyproject.toml")
    else:
        mark = _LOOK if lock.status == "failed" else _NONE
        _line(screen, mark, f"uv.lock was not brought in line: {lock.detail}")


def _answers(screen: Console, answers: Iterable["TemplateAnswer"]) -> None:
    found = [answer for answer in answers if answer.value != ""]
    width = max((len(answer.name) for answer in found), default=0)
    for answer in found:
        _line(screen, f"    {answer.name:<{width}} ", _text(answer.value))


def _line(screen: Console, mark: str, text: str) -> None:
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


def show_proposal(report: "AddReport", screen: LiveScreen) -> None:
    """Print the settings that would be written, and the reasons for them."""
    for file in report.files:
        if file.path == "config/default.yml":
            added = [line[1:] for line in file.diff.splitlines() if line[:1] == "+" and line[1:]][
                1:
            ]
            screen.console.print(escape("\n".join(["sources:", *added])))
    for choice in report.choices:
        screen.console.print(f"[dim]-[/] {escape(choice)}")


def show_added(report: "AddReport") -> None:
    """Print the files that were written, what was loaded and the next commands."""
    screen = new_console()
    if report.is_declined:
        screen.print("nothing was written")
        return
    if report.dry_run:
        for file in report.files:
            typer.echo(file.diff, nl=False)
    for file in report.files:
        screen.print(f"{MARKS[file.status]} {escape(file.path)}")
    for choice in report.choices:
        screen.print(f"[dim]-[/] {escape(choice)}")
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
        return
    for table in report.load.tables if report.load else ():
        screen.print(f"[green]✓[/] loaded {escape(table.table)}: {table.rows_total:,} rows")
    for model in report.scaffold.changes if report.scaffold else ():
        screen.print(f"{MARKS[model.status]} {escape(f'dbt_project/{model.path}')}")
    _show_next_of_add(screen, report)


def _show_next_of_add(screen: Console, report: "AddReport") -> None:
    if report.not_loaded:
        screen.print(f"[yellow]![/] not loaded: {escape(report.not_loaded)}")
    if report.commands:
        commands = " and ".join(f"`{command}`" for command in report.commands)
        screen.print(escape(f"then run {commands}"))
    else:
        screen.print("next: read what was written, describe it, commit it, and `headrace run`")


def show_scaffold(report: "ScaffoldReport") -> None:
    """Print the files that changed, what needs a person, and the next command."""
    screen = new_console()
    if report.dry_run:
        for file in report.changes:
            typer.echo(file.diff, nl=False)
    _show_files(screen, report)
    _show_findings(screen, report)
    _show_next(screen, report)


def _show_files(screen: Console, report: "ScaffoldReport") -> None:
    for file in report.changes:
        words = "" if file.status == "added" else f": {first_few(file.additions)}"
        screen.print(f"{MARKS[file.status]} {escape(file.path)}{escape(words)}")
    unchanged = len(report.files) - len(report.changes)
    if not report.changes:
        screen.print(
            f"nothing to write: {count(report.tables, 'table')} of {report.source}, "
            f"{count(unchanged, 'file')} as they were"
        )


def _show_findings(screen: Console, report: "ScaffoldReport") -> None:
    for gone in report.vanished:
        name = f"{gone.table}.{gone.column}" if gone.column else f"table {gone.table}"
        words = "is no longer in dlt's schema" if gone.was_loaded else "was never loaded by dlt"
        places = escape(first_few(gone.places))
        screen.print(f"[yellow]![/] {escape(name)} {words}; it is named in {places}")
    for left in report.left_out:
        screen.print(
            f"[dim]-[/] {escape(left.path)} does not read {escape(first_few(left.columns))}: "
            "left as it is"
        )
    _show_by_hand(screen, report.by_hand)


def _show_by_hand(screen: Console, tasks: "Sequence[ByHand]") -> None:
    for task in tasks:
        where = f"{task.path}: " if task.path else ""
        screen.print(f"[yellow]![/] by hand: {escape(where + task.what)}")
        for line in (task.line or "").splitlines():
            screen.print(f"      {escape(line)}")


def show_model(report: "ModelReport") -> None:
    """Print what was found in a model's table, and what was written."""
    screen = new_console()
    file = report.file
    if report.dry_run and file.diff:
        typer.echo(file.diff, nl=False)
    key = f"key {', '.join(report.key)}" if report.key else "no key in sight"
    screen.print(escape(f"{report.table}: {count(report.rows, 'row')}, {key}"))
    if file.status == "unchanged":
        screen.print(escape(f"nothing to write: {file.path} has it all"))
    else:
        words = "" if file.status == "added" else f": {first_few(file.additions)}"
        screen.print(f"{MARKS[file.status]} {escape(file.path)}{escape(words)}")
    _show_by_hand(screen, report.by_hand)
    if report.to_describe:
        number = count(report.to_describe, "place")
        screen.print(escape(f"{number} to describe: look for 'to be described' in it"))
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
    elif file.status != "unchanged":
        screen.print(
            "next: read it, as its tests and key are what these rows show; then `headrace build`"
        )


def _show_next(screen: Console, report: "ScaffoldReport") -> None:
    number = len(report.without_description)
    if number:
        words = "look for 'to be described' in the yml files"
        screen.print(escape(f"{count(number, 'column')} to describe: {words}"))
    if report.dry_run:
        screen.print("nothing was written (--dry-run)")
    elif report.changes:
        screen.print("next: read what was written, describe it, commit it, and `headrace build`")
