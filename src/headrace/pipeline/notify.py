"""Telling someone of a run that failed: by a command, a webhook, or a notifier of a package.

    on_failure.command ──────────────────────┐
    on_failure.webhook ──────────────────────┼─► one sentence for each that could not be told
    an entry point of headrace.notifiers ────┘

What goes wrong here is reported, and changes neither the run nor its exit code.
"""

import logging
import os
import shlex
import subprocess
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from dataclasses import replace
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field

from headrace.catalog import RunStore
from headrace.error_detail import ErrorDetail
from headrace.errors import HeadraceError
from headrace.exceptions import came_of_ctrl_c, first_line, text_of
from headrace.formatting import count, shortened
from headrace.log_file import logging_to
from headrace.pipeline.reports import Report, RunReport
from headrace.rules import chosen_rules, find_rules
from headrace.secrets import hide, hide_in
from headrace.settings import Resolved
from headrace.settings.layers import NOTICE_PREFIX

GROUP = "headrace.notifiers"
_LOG = logging.getLogger("headrace.pipeline")
_MOST_SHOWN = 5
_MOST_TEXT = 2000  # characters; chats refuse long messages
_LOOKED_AT = 50  # runs among which the one before is looked for


class NotifiedProblem(Report):
    """What failed, and the place in the user's own file."""

    message: str = Field(description="one line")
    detail: ErrorDetail | None = None


class Notice(Report):
    """What a notifier is told. Secrets are masked in it."""

    event: Literal["failed", "recovered"] = Field(
        description="`recovered`: the run before, of the same command, had failed"
    )
    text: str = Field(description="for people: a sentence, and a line for each problem")
    project: str = Field(description="the name of the project's directory")
    environment: str = Field(description="such as `production`")
    command: str
    status: Literal["success", "failed", "error"] = Field(
        description="`failed`: a check did not pass, or a source was not loaded; `error`: it "
        "could not run"
    )
    problems: tuple[NotifiedProblem, ...] = ()
    report: RunReport | None = Field(
        None, description="as `--json` prints it; none of a run that could not run, and to webhooks"
    )


def telling(resolved: Resolved, command: str, run: Callable[[], RunReport]) -> RunReport:
    """Run, and tell of a failure; what could not be told is in the report's or error's notes.

    Raises:
        Exception: what ``run`` raises.
    """
    try:
        report = run()
    except Exception as error:
        if not came_of_ctrl_c(error):
            for said in tell_of_error(resolved, command, error):
                error.add_note(said)
        raise
    told = tell_of_report(resolved, report)
    return report.model_copy(update={"notes": (*report.notes, *told)}) if told else report


def tell_of_report(resolved: Resolved, report: RunReport) -> list[str]:
    """Tell of a run that ended, if it failed, or is the first good one after one that failed.

    Returns:
        A sentence for each notifier that failed.
    """
    if report.status == "success":
        is_told = resolved.settings.on_failure.on_recovery and _had_failed(resolved, report)
        return _tell(resolved, _notice(resolved, "recovered", report)) if is_told else []
    return _tell(resolved, _notice(resolved, "failed", report))


def tell_of_error(resolved: Resolved, command: str, error: Exception) -> list[str]:
    """Tell of a run that could not run.

    Returns:
        A sentence for each notifier that failed.
    """
    detail = error.detail if isinstance(error, HeadraceError) else None
    problem = NotifiedProblem(message=hide(text_of(error)) or type(error).__name__, detail=detail)
    notice = Notice(
        event="failed",
        text=_text(resolved, command, "could not run", (problem,)),
        project=resolved.root.name,
        environment=resolved.environment,
        command=command,
        status="error",
        problems=(problem,),
    )
    return _tell(resolved, notice)


def _notice(resolved: Resolved, event: Literal["failed", "recovered"], report: RunReport) -> Notice:
    problems = tuple(_problems(report))
    what = "failed" if event == "failed" else "succeeded again"
    return Notice(
        event=event,
        text=_text(resolved, report.command, what, problems),
        project=resolved.root.name,
        environment=resolved.environment,
        command=report.command,
        status=report.status,
        problems=problems,
        report=report,
    )


def _problems(report: RunReport) -> Iterator[NotifiedProblem]:
    for failure in report.load.failures if report.load else ():
        yield NotifiedProblem(message=failure.sentence, detail=failure.detail)
    nodes = (*report.build.nodes, *report.build.freshness) if report.build else ()
    # the rows that a test found stay here; they are on the page and in the terminal
    details = {node.problem: node.detail and replace(node.detail, rows=()) for node in nodes}
    for problem in report.audit.problems if report.audit else ():
        yield NotifiedProblem(message=problem, detail=details.get(problem))


def _text(
    resolved: Resolved, command: str, what: str, problems: tuple[NotifiedProblem, ...]
) -> str:
    lines = [f"{resolved.root.name} ({resolved.environment}): `{command}` {what}"]
    lines += [f"- {problem.message}" for problem in problems[:_MOST_SHOWN]]
    if len(problems) > _MOST_SHOWN:
        lines.append(f"and {count(len(problems) - _MOST_SHOWN, 'more problem')}")
    return shortened("\n".join(lines), _MOST_TEXT)


def _had_failed(resolved: Resolved, report: RunReport) -> bool:
    """Whether the run before this one, of the same command, failed."""
    store = RunStore(resolved.run_store_url)
    try:
        runs = store.last_runs(_LOOKED_AT)
    finally:
        store.close()
    same = [run for run in runs if run.command == report.command and run.run_id != report.run_id]
    return bool(same) and same[0].status in {"failed", "error"}


def _tell(resolved: Resolved, notice: Notice) -> list[str]:
    settings = resolved.settings.on_failure
    notice = Notice.model_validate(hide_in(notice.model_dump()))
    found: list[str] = []
    try:
        if settings.command:
            found += _run_command(resolved, notice)
        if settings.webhook is not None:
            found += _post(settings.webhook.get_secret_value(), notice, settings.timeout)
        rules = find_rules((), group=GROUP, modules=settings.modules, root=resolved.root)
        for rule, options in chosen_rules(rules, settings.notifiers, key="on_failure.notifiers"):
            found += [f"{rule.name}: {said}" for said in rule.problems(notice, options)]
    except Exception as error:  # the run's own failure is what matters
        found.append(f"{type(error).__name__}: {first_line(error)}")
    told = [hide(f"on_failure: {said}") for said in found]
    if told:
        with suppress(OSError), logging_to(resolved.data_dir / "logs", resolved.settings.log_level):
            for said in told:
                _LOG.warning("%s", said)
    return told


def _variables(notice: Notice) -> Mapping[str, str]:
    """What a command finds in its environment: the notice's short values."""
    named = {
        name: getattr(notice, name)
        for name in ("event", "text", "project", "environment", "command")
    }
    run_id = notice.report.run_id if notice.report else None
    values = {**named, "status": notice.status, "run_id": run_id}
    return {f"{NOTICE_PREFIX}{name.upper()}": str(value or "") for name, value in values.items()}


def _run_command(resolved: Resolved, notice: Notice) -> Iterator[str]:
    """Run the command with the notice as JSON on its standard input."""
    settings = resolved.settings.on_failure
    given = settings.command
    words = shlex.split(given) if isinstance(given, str) else list(given or ())
    # a file, since what the command leaves running would hold a pipe open
    with tempfile.TemporaryFile() as output:
        try:
            done = subprocess.run(
                words,
                input=notice.model_dump_json(indent=2).encode(),
                stdout=output,
                stderr=subprocess.STDOUT,
                cwd=resolved.root,
                env={**os.environ, **_variables(notice)},
                timeout=settings.timeout,
                check=False,
            )
        except subprocess.TimeoutExpired:
            yield f"the command {words[0]} was stopped after {settings.timeout:g} s"
            return
        except OSError as error:
            yield f"the command {words[0]} cannot be run: {error.strerror or error}"
            return
        if done.returncode:
            output.seek(0)
            lines = output.read().decode(errors="replace").strip().splitlines()
            said = f": {lines[-1]}" if lines else ""
            yield f"the command {words[0]} ended with exit code {done.returncode}{said}"


def _post(url: str, notice: Notice, timeout: float) -> Iterator[str]:
    """Post the notice as JSON; of the address only the host is ever shown."""
    import requests

    parts = urlsplit(url)
    where = f"{parts.scheme}://{parts.hostname}"
    content = notice.model_dump_json(exclude={"report"})
    try:
        response = requests.post(
            url,
            data=content.encode(),
            headers={"Content-Type": "application/json"},
            timeout=timeout,
            allow_redirects=False,  # a redirected POST becomes a GET, which tells nobody
        )
    except requests.RequestException as error:
        yield f"the webhook at {where} could not be reached ({type(error).__name__})"
        return
    if response.status_code >= 300:
        yield f"the webhook at {where} answered {response.status_code} {response.reason}"
