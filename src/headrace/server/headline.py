"""How the project is, in one sentence: what somebody wants to know first in the morning."""

from headrace.catalog import RUNNING, StoredRun
from headrace.server import describe, views
from headrace.server.snapshot import Snapshot

_NAMED = 3
_CUT = 400


def of(now: Snapshot, publish: views.PublishState) -> views.Headline:
    """The worst that is so, and what to do about it."""
    running = now.runs[0].run_id if now.runs and now.runs[0].status == RUNNING else None
    ended = next((run for run in now.runs if run.status != RUNNING), None)
    found = _first_trouble(now, publish, ended) or _well(now, publish, ended)
    return found.model_copy(update={"running": running})


def _first_trouble(
    now: Snapshot, publish: views.PublishState, ended: StoredRun | None
) -> views.Headline | None:
    if ended is None:
        return views.Headline(mood="none", text="There has been no run yet.")
    if ended.status != "success":
        return _bad_run(now, publish, ended)
    if publish.status == "unreadable":
        return views.Headline(
            mood="bad", text="The published file cannot be read.", advice="Run `headrace publish`."
        )
    if now.failing:
        return views.Headline(
            mood="bad", text=f"{_count(now.failing, 'test fails', 'tests fail')}."
        )
    if publish.is_current is False:
        return views.Headline(
            mood="unsure",
            text=f"The newest build is not published; readers keep the data of {_at(publish)}.",
            advice="Run `headrace publish`.",
        )
    return _stale(now)


def _bad_run(now: Snapshot, publish: views.PublishState, run: StoredRun) -> views.Headline:
    """The run that did not end well, and what readers have instead."""
    what = {
        "failed": f"failed: {_count(len(run.failures), 'model or test', 'models or tests')} "
        "did not pass",
        "interrupted": "was interrupted",
    }.get(run.status, "stopped at an error")
    if run.status == "failed" and not run.failures:
        what = "failed: a check did not pass"
    kept = "nothing is published yet"
    if publish.status == "published":
        kept = f"readers keep the data of {_at(publish)}"
        if publish.run_id == run.run_id:
            kept = "what it made is published"
    advice = "Mend what its page names, then run `headrace run`."
    if run.status == "interrupted":
        advice = "Run `headrace run` again."
    return views.Headline(
        mood="bad",
        text=f"The last run {what}; {kept}.",
        advice=describe.cut(now.told(run.error) or advice, _CUT),
        run_id=run.run_id,
    )


def _stale(now: Snapshot) -> views.Headline | None:
    late = [one.source for one in now.freshness.values() if one.status in {"warn", "error", "fail"}]
    if late:
        names = ", ".join(late[:_NAMED]) + (" and more" if len(late) > _NAMED else "")
        return views.Headline(mood="unsure", text=f"Not fresh any more: {names}.")
    if now.not_good:
        return views.Headline(mood="unsure", text=f"{_count(len(now.not_good), 'test')} warned.")
    return None


def _well(now: Snapshot, publish: views.PublishState, ended: StoredRun | None) -> views.Headline:
    parts = ["the last run succeeded"]
    if publish.status == "published":
        parts.append(f"{_count(publish.tables, 'table is', 'tables are')} published")
    if now.index.tests_from < len(now.index.order):
        parts.append("no test fails")
    text = ", ".join(parts)
    return views.Headline(
        mood="good",
        text=f"{text[0].upper()}{text[1:]}.",
        run_id=ended.run_id if ended else None,
    )


def _at(publish: views.PublishState) -> str:
    return f"{publish.published_at:%Y-%m-%d %H:%M} UTC" if publish.published_at else "before"


def _count(number: int, one: str, many: str | None = None) -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
