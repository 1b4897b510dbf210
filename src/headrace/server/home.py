"""The home page: the project's status in a sentence, its last runs, and what is published."""

from headrace.catalog import RUNNING, StoredRun
from headrace.formatting import count, first_few, shortened
from headrace.server import models, view_builder
from headrace.server.snapshot import ProjectSnapshot
from headrace.server.state import ServerState

_RUNS = 10
_LINES = 100
_NAMED = 3
_CUT = 400


def home(state: ServerState) -> models.Home:
    """The first page; also where no run has been yet (its ``hint`` says what to run)."""
    now = state.snapshot()
    catalog = now.index.catalog
    problems = catalog.problems[:_LINES]
    publish = publish_state(now)
    return models.Home(
        project=state.project,
        environment=state.environment,
        catalog_only=state.catalog_only,
        catalog_version=catalog.version,
        catalog_at=catalog.created_at,
        hint=hint(now),
        headline=headline(now, publish, catalog_only=state.catalog_only),
        runs=tuple(view_builder.run_line(now, run) for run in now.runs[:_RUNS]),
        freshness=tuple(now.freshness.values()),
        failing=tuple(view_builder.data_test(now, test) for test in now.bad_tests[:_LINES]),
        failing_total=now.failing,
        warning_total=len(now.bad_tests) - now.failing,
        passing_total=sum(
            node.status == "pass" and key in catalog.assets and catalog.assets[key].is_test
            for key, node in now.latest.items()
        ),
        quarantine=tuple(
            view_builder.quarantine(now, one) for one in now.verdicts.evidence.quarantine[:_LINES]
        ),
        publish=publish,
        published=_published(now),
        counts=now.index.counts if now.has_catalog else {},
        readings=tuple(
            models.ReadingView(
                artifact=one.artifact, version=one.version, mode=one.mode, notes=one.notes
            )
            for one in catalog.readings
        ),
        problems=tuple(
            models.ProblemView(
                asset=one.asset,
                name=catalog.assets[one.asset].name if one.asset in catalog.assets else one.asset,
                message=one.message,
            )
            for one in problems
        ),
        problems_total=len(catalog.problems),
    )


def _published(now: ProjectSnapshot) -> tuple[models.AssetSummary, ...]:
    assets = now.index.catalog.assets
    found = [
        view_builder.summary(now, assets[key]) for key in now.publication.tables if key in assets
    ]
    found.sort(
        key=lambda one: (
            one.verdict.rank if one.verdict else 0,
            -one.failing,
            one.name.casefold(),
            one.id,
        )
    )
    return tuple(found[:_LINES])


def hint(now: ProjectSnapshot) -> str | None:
    """What to run where there is no catalog yet."""
    if now.has_catalog:
        return None
    if not now.runs:
        return "there has been no run yet: run `headrace run`"
    if now.runs[0].status == RUNNING:
        return "the first run is in progress: the catalog is made at its end"
    return "there is no catalog yet: run `headrace run`, which makes one"


def publish_state(now: ProjectSnapshot) -> models.PublishState:
    """What readers have."""
    publication = now.publication
    return models.PublishState(
        status=publication.status,
        published_at=publication.published_at,
        run_id=publication.run_id,
        tables=len(publication.tables),
        rows=sum(table.rows for table in publication.tables.values()),
        is_current=now.build.is_published
        if publication.status == "published" and now.build is not None
        else None,
    )


def headline(
    now: ProjectSnapshot, publish: models.PublishState, *, catalog_only: bool = False
) -> models.Headline:
    """The worst that is true now, and what to do about it."""
    running = now.runs[0].run_id if now.runs and now.runs[0].status == RUNNING else None
    ended = next((run for run in now.runs if run.status != RUNNING), None)
    if catalog_only and ended is not None and ended.status == "failed":
        found = models.Headline(
            mood="bad",
            text=f"The last run {_failures(ended)}.",
            advice="Fix what its page names, then run `dbt build`.",
            run_id=ended.run_id,
        )
    else:
        found = _first_problem(now, publish, ended) or _all_good(now, publish, ended)
    rows = sum(one.rows for one in now.verdicts.evidence.quarantine)
    if rows and "quarantine" not in found.text:
        text = f"{found.text} {count(rows, 'row is', 'rows are')} in quarantine."
        found = found.model_copy(update={"text": text})
    return found.model_copy(update={"running": running})


def _first_problem(
    now: ProjectSnapshot, publish: models.PublishState, ended: StoredRun | None
) -> models.Headline | None:
    if ended is None:
        return models.Headline(mood="none", text="There has been no run yet.")
    if ended.status != "success":
        return _failed_run(now, publish, ended)
    if now.publication.problem is not None:
        text = f"What is published cannot be read: {now.publication.problem}"
        return models.Headline(mood="bad", text=text)
    if publish.status == "unreadable":
        return models.Headline(
            mood="bad", text="The published file cannot be read.", advice="Run `headrace publish`."
        )
    if now.failing:
        return models.Headline(
            mood="bad", text=f"{count(now.failing, 'test fails', 'tests fail')}."
        )
    if publish.is_current is False:
        return _behind(now, publish)
    return _stale(now) or _quarantined(now)


def _behind(now: ProjectSnapshot, publish: models.PublishState) -> models.Headline:
    """Readers have older data than the newest build."""
    build = now.build
    if build is None or build.passed:
        return models.Headline(
            mood="unsure",
            text=f"The newest build is not published; readers have the data of {_at(publish)}.",
            advice="Run `headrace publish`.",
        )
    why = shortened(now.relative(build.problem) or "a check did not pass", _CUT)
    return models.Headline(
        mood="bad",
        text=f"The newest build was not published; readers have the data of {_at(publish)}.",
        advice=f"Why: {why}",
        run_id=build.run_id,
    )


def _quarantined(now: ProjectSnapshot) -> models.Headline | None:
    """Rows that could not be loaded, and what to do about them."""
    found = now.verdicts.evidence.quarantine
    if not found:
        return None
    rows = sum(one.rows for one in found)
    tables = sorted({f"{one.source}.{one.table}" for one in found})
    return models.Headline(
        mood="unsure",
        text=f"{count(rows, 'row is', 'rows are')} in quarantine: {first_few(tables, _NAMED)}.",
        advice=f"`headrace quarantine show {tables[0]}` shows them; correct them at the source, or "
        "replay or discard them.",
    )


def _failed_run(
    now: ProjectSnapshot, publish: models.PublishState, run: StoredRun
) -> models.Headline:
    """The run that failed, and what readers have instead."""
    what = {
        "failed": _failures(run),
        "interrupted": "was interrupted",
    }.get(run.status, "stopped at an error")
    if run.status == "failed" and not run.failures:
        what = f"failed: {'not all was loaded' if run.error else 'a check did not pass'}"
    kept = "nothing is published yet"
    if publish.status == "published":
        kept = f"readers have the data of {_at(publish)}"
        if publish.run_id == run.run_id:
            kept = "what it made is published"
    advice = "Fix what its page names, then run `headrace run`."
    if run.status == "interrupted":
        advice = "Run `headrace run` again."
    return models.Headline(
        mood="bad",
        text=f"The last run {what}; {kept}.",
        advice=shortened(now.relative(run.error) or advice, _CUT),
        run_id=run.run_id,
    )


def _failures(run: StoredRun) -> str:
    failed = count(len(run.failures), "model or test", "models or tests")
    return f"failed: {failed} did not pass"


def _stale(now: ProjectSnapshot) -> models.Headline | None:
    late = [one.source for one in now.freshness.values() if one.status in {"warn", "error", "fail"}]
    if late:
        return models.Headline(mood="unsure", text=f"Not fresh: {first_few(late, _NAMED)}.")
    if now.bad_tests:
        return models.Headline(mood="unsure", text=f"{count(len(now.bad_tests), 'test')} warned.")
    return None


def _all_good(
    now: ProjectSnapshot, publish: models.PublishState, ended: StoredRun | None
) -> models.Headline:
    parts = ["the last run succeeded"]
    if publish.status == "published":
        parts.append(f"{count(publish.tables, 'table is', 'tables are')} published")
    if now.index.tests_from < len(now.index.order):
        parts.append("no test fails")
    text = ", ".join(parts)
    return models.Headline(
        mood="good",
        text=f"{text[0].upper()}{text[1:]}.",
        run_id=ended.run_id if ended else None,
    )


def _at(publish: models.PublishState) -> str:
    return f"{publish.published_at:%Y-%m-%d %H:%M} UTC" if publish.published_at else "before"
