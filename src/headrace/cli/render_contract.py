"""What ``headrace contract`` prints."""

from typing import TYPE_CHECKING

import typer

from headrace.formatting import count

if TYPE_CHECKING:
    from headrace.pipeline.checking.contract import ContractTest
    from headrace.scaffold.add_contract import ImportReport

_WORDS = {"fail": "BROKEN", "error": "ERROR", "warn": "WARNING", "skipped": "not checked"}


def show_test(report: "ContractTest") -> None:
    """The promises that are not kept, then how many are."""
    typer.echo(f"contract {report.contract} ({report.path}), on {report.on}")
    shown = [one for one in report.checks if one.status != "pass"]
    width = max((len(one.label) for one in shown), default=0)
    for one in sorted(shown, key=lambda each: list(_WORDS).index(each.status)):
        typer.echo(f"  {_WORDS[one.status]:11}  {one.label:{width}}  {one.said}")
    for note in report.notes:
        typer.echo(f"note: {note}")
    kept = sum(one.status == "pass" for one in report.checks)
    broken = sum(one.status in {"fail", "error"} for one in report.checks)
    warned = sum(one.status == "warn" for one in report.checks)
    words = [f"{count(kept, 'promise')} kept"]
    words += [f"{broken} broken"] if broken else []
    words += [count(warned, "warning")] if warned else []
    to = f"; promised to {report.promised_to}" if report.promised_to and broken + warned else ""
    typer.echo(f"{', '.join(words)}{to}")


def show_import(report: "ImportReport") -> None:
    """What was added to which file, and what is left to do."""
    would = "would be " if report.dry_run else ""
    for file in report.files:
        if file.status == "unchanged":
            typer.echo(f"{file.path}: says all of it already")
            continue
        typer.echo(f"{file.path}: {would}{file.status}: {', '.join(file.additions)}")
        if report.dry_run:
            typer.echo(file.diff, nl=False)
    for one in report.by_hand:
        typer.echo(f"by hand{f' in {one.path}' if one.path else ''}: {one.what}")
        if one.line:
            typer.echo("\n".join(f"    {line}" for line in one.line.splitlines()))
    for note in report.notes:
        typer.echo(f"note: {note}")
