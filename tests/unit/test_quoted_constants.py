"""What pages and docstrings quote of the code: numbers, and the tree of errors."""

import inspect
import re
import tomllib
from pathlib import Path

import pytest

from headrace import errors, portable, secrets
from headrace.ingest import infer, stage
from headrace.ingest.model import ApiLimits
from headrace.ingest.rest.source import api_source
from headrace.lineage.verify.report import ROWS
from headrace.quality.diff.side import DiffOptions
from headrace.settings import ServeSettings
from headrace.settings.models import TransportSettings
from headrace.synth.faults.cells import NO_SUCH_ROW
from headrace.synth.learn import learned_field

ROOT = Path(__file__).parents[2]
MIB = 1024 * 1024
PORT = ServeSettings.model_fields["port"].default
LIMITS = ApiLimits()
REQUESTS = inspect.signature(api_source).parameters
WORDS = {3: "three", 6: "six", 7: "seven", 20: "twenty"}
HOW_TO = "docs/how-to"


def models(layer: str) -> int:
    """How many models of the simulated shop are in a layer."""
    return len([*(ROOT / "dbt_project" / "models" / layer / "shop").glob("*.sql")])


def written(path: str, pattern: str) -> str:
    """The group of the pattern in a file that is no Python module."""
    found = re.search(pattern, (ROOT / path).read_text("utf-8"))
    assert found is not None, f"{path}: {pattern}"
    return found[1]


def python_versions() -> str:
    wanted = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    oldest, before = re.findall(r"3\.(\d+)", wanted["requires-python"])
    return f"Python 3.{oldest} to 3.{int(before) - 1}"


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("README.md", python_versions()),
        ("docs/tutorials/ten-minutes.md", python_versions()),
        ("docs/tutorials/ten-minutes.md", f"simulated shop of {models('staging')} related tables"),
        (
            "docs/tutorials/ten-minutes.md",
            f"the shop's {sum(map(models, ('staging', 'intermediate', 'marts')))} models",
        ),
        ("docs/tutorials/ten-minutes.md", f"publishes {WORDS[models('marts')]} more marts"),
        # files
        ("ARCHITECTURE.md", f"first load ({stage.BULK_BYTES // MIB} MiB or more)"),
        ("docs/explanation/what-is-kept.md", f"files of {stage.BULK_BYTES // MIB} MiB or more"),
        (
            "docs/explanation/decisions/0020-types-by-round-trip.md",
            f"The first {infer.SAMPLE_ROWS:,} rows",
        ),
        # APIs and databases
        (f"{HOW_TO}/add-a-rest-api.md", f"`max_pages` ({LIMITS.max_pages:,})"),
        (f"{HOW_TO}/add-a-rest-api.md", f"`max_seconds` ({LIMITS.max_seconds:,.0f})"),
        (
            f"{HOW_TO}/add-a-rest-api.md",
            f"`max_response_seconds` ({LIMITS.max_response_seconds:g})",
        ),
        (f"{HOW_TO}/add-a-rest-api.md", f"`max_response_mb` ({LIMITS.max_response_mb:g})"),
        (
            f"{HOW_TO}/add-a-rest-api.md",
            f"up to {REQUESTS['max_attempts'].default} times (`max_attempts`)",
        ),
        (
            f"{HOW_TO}/add-a-rest-api.md",
            f"up to {REQUESTS['max_wait'].default:g} seconds each (`max_wait`)",
        ),
        (
            f"{HOW_TO}/add-a-sql-database.md",
            "`chunk_rows` ({:,})".format(
                int(
                    written(
                        "src/headrace/add/templates/sql_database/init.py.j2",
                        r"chunk_rows: int = ([\d_]+)",
                    )
                )
            ),
        ),
        # the proof, the diff, simulated data
        (f"{HOW_TO}/prove-the-lineage.md", f"the first {ROWS:,} of each raw table"),
        (
            f"{HOW_TO}/review-a-pull-request.md",
            {1e-9: "within a billionth (`--tolerance`"}[DiffOptions().tolerance],
        ),
        (
            f"{HOW_TO}/learn-from-a-sample.md",
            f"any text that fewer than {WORDS[learned_field.FEWEST_ROWS]} rows contain",
        ),
        (
            f"{HOW_TO}/learn-from-a-sample.md",
            f"the minimum, the maximum and {learned_field.QUANTILES - 2} values in between",
        ),
        ("docs/reference/faults.md", f"an address above {NO_SUCH_ROW:,} (2 to the 41)"),
        # Windows, secrets, OpenLineage, workflows, dbt
        (
            f"{HOW_TO}/work-on-windows-and-macos.md",
            f"tries for {portable.PATIENCE_SECONDS:g} seconds",
        ),
        (
            f"{HOW_TO}/work-on-windows-and-macos.md",
            f"has up to {portable.LONGEST_BELOW_DATA} characters",
        ),
        (
            "docs/explanation/what-is-masked.md",
            f"A value of {WORDS[secrets.SHORTEST]} characters or more",
        ),
        (
            f"{HOW_TO}/send-openlineage-events.md",
            f"`timeout` seconds ({TransportSettings.model_fields['timeout'].default:g})",
        ),
        (
            f"{HOW_TO}/run-in-github-actions.md",
            "keeps the state for {} days".format(
                written(".github/workflows/nightly.yml", r"retention-days: (\d+)")
            ),
        ),
        (
            f"{HOW_TO}/run-in-github-actions.md",
            "the logs for {} days".format(
                written(".github/workflows/test.yml", r"retention-days: (\d+)")
            ),
        ),
        (
            "dbt_project/README.md",
            "`HEADRACE_DBT_THREADS` (default {})".format(
                written("dbt_project/profiles.yml", r"'HEADRACE_DBT_THREADS', '(\d+)'")
            ),
        ),
        # the server
        (f"{HOW_TO}/serve-the-page.md", f"http://127.0.0.1:{PORT}/"),
        (f"{HOW_TO}/run-with-docker-compose.md", f"http://127.0.0.1:{PORT}"),
        (f"{HOW_TO}/use-a-dev-container.md", f"the server's port, {PORT}"),
        ("src/headrace/cli/serve.py", f"else serve.port, {PORT}."),
        (".devcontainer/devcontainer.json", f'"forwardPorts": [{PORT}]'),
    ],
)
def test_a_page_quotes_the_number_that_holds(page: str, words: str) -> None:
    text = " ".join((ROOT / page).read_text("utf-8").split())
    assert words in text


def test_the_page_on_the_server_quotes_its_limits() -> None:
    pytest.importorskip("fastapi", reason="the limits are the server's")
    from headrace.server import access, queries, security

    page = (ROOT / HOW_TO / "serve-the-page.md").read_text("utf-8")
    kib = 1024
    for words in (
        f"headers | {security.MAX_HEAD // kib} KiB; an address {security.MAX_URL // kib} KiB",
        f"body | {security.MAX_BODY // kib} KiB",
        f"{access.MIN_TOKEN_LENGTH} characters or more",
        f"a cookie for {access.SESSION_SECONDS // 3600} hours",
        f"sends {access.MAX_TOKENS} different wrong tokens within a minute",
        f"{access.MAX_TOKENS} guesses a minute",
        f"`limit` (at most {queries.MAX_SAMPLE})",
    ):
        assert words in " ".join(page.split())
    assert access.WINDOW == 60
    compose = (ROOT / HOW_TO / "run-with-docker-compose.md").read_text("utf-8")
    assert f"({access.MIN_TOKEN_LENGTH} characters or more)" in compose


def test_the_tree_of_errors_is_whole() -> None:
    drawn = re.findall(r"(?:├──|└──|^ {4})\s*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)
