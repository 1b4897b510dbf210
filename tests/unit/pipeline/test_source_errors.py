"""Failures of APIs and databases, in one line each that says what to change; secrets in none."""

from pathlib import Path
from typing import Any

import dlt
import pytest
import requests
from dlt.pipeline.exceptions import PipelineStepFailed
from sqlalchemy.exc import NoSuchTableError, OperationalError, ProgrammingError

from headrace.exceptions import causes
from headrace.pipeline.loading.source_errors import explain, load_error
from headrace.pipeline.where import where
from headrace.process import import_from
from headrace.settings import resolve

API = ("base_url", "token", "max_attempts")
DATABASE = ("url", "password", "tables")


def answer(
    status: int, reason: str, url: str = "https://me:hush@x.example/v1/a?key=s"
) -> Exception:
    response = requests.Response()
    response.status_code, response.reason, response.url = status, reason, url
    response.request = requests.Request("POST", "https://x.example").prepare()
    return requests.HTTPError("what dlt says", response=response)


@pytest.mark.parametrize(
    ("status", "reason", "options", "words"),
    [
        (401, "Unauthorized", API, "set HEADRACE_SOURCES__CRM__TOKEN in .env"),
        (403, "Forbidden", API, "set HEADRACE_SOURCES__CRM__TOKEN in .env"),
        (403, "Forbidden", (), "check its credentials"),
        (404, "Not Found", API, "correct sources.crm.base_url"),
        (400, "Bad Request", API, "check what the API expects there"),
        (429, "Too Many Requests", API, "later, or raise sources.crm.max_attempts"),
        (500, "", (), "run the same command again later"),
    ],
)
def test_answers(status: int, reason: str, options: tuple[str, ...], words: str) -> None:
    text = explain("crm", [RuntimeError("dlt"), answer(status, reason)], options)
    assert text is not None
    said = f"POST https://x.example/v1/a returned {status} {reason}".rstrip()
    assert text.startswith(said + (":" if status < 429 else ","))
    assert words in text
    assert "hush" not in text
    assert "key" not in text


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (NoSuchTableError("orders"), "there is no table orders that this user may see"),
        (
            OperationalError("q", {}, Exception("connection refused\nand more")),
            "connection refused: sources.crm.url, is it right",
        ),
        (
            OperationalError("q", {}, Exception('password authentication failed for user "a"')),
            "set HEADRACE_SOURCES__CRM__PASSWORD in .env",
        ),
        (ProgrammingError("q", {}, Exception("permission denied for table a")), "granted"),
        (ProgrammingError("q", {}, Exception("a bad thing")), "ProgrammingError: a bad thing"),
        (ModuleNotFoundError("No module", name="psycopg"), "run `uv sync --extra postgres`"),
        (ModuleNotFoundError("No module", name="pymysql"), "run `uv add pymysql`"),
    ],
)
def test_databases(error: Exception, words: str) -> None:
    text = explain("crm", [RuntimeError("dlt"), error], DATABASE)
    assert text is not None
    assert words in text
    assert "\n" not in text


def test_what_is_neither_is_left_to_others() -> None:
    assert explain("crm", [ValueError("x")], API) is None
    assert explain("crm", [ModuleNotFoundError("No module", name="x")], API) is None


def test_where_shows_no_secret(tmp_path: Path) -> None:
    (tmp_path / "config").mkdir()
    environ = {
        "HEADRACE_SOURCES__CRM__TOKEN": "abcd-efgh",
        "HEADRACE_SOURCES__CRM__NESTED__API_KEY": "hush-hush",
        "HEADRACE_SOURCES__CRM__URL": "postgresql://me:p4ss-word@x/y",
        "HEADRACE_SOURCES__CRM__PATH": "data/exports",
    }
    report = where(resolve(tmp_path, environ=environ))
    shown = {setting.key: setting.value for setting in report.settings}
    assert shown["sources.crm.token"] == shown["sources.crm.nested.api_key"] == "***"
    assert shown["sources.crm.url"] == "postgresql://me:***@x/y"
    assert shown["sources.crm.path"] == "data/exports"
    for secret in ("abcd-efgh", "hush-hush", "p4ss-word"):
        assert secret not in report.model_dump_json()


@pytest.mark.parametrize("secret", ["{abc-def", "[abc", "{a: b}", "'quoted'"])
def test_a_secret_is_taken_as_it_is(tmp_path: Path, secret: str) -> None:
    """Also one that begins like a list or a mapping of YAML."""
    (tmp_path / "config").mkdir()
    environ = {"HEADRACE_SOURCES__CRM__PASSWORD": secret}
    resolved = resolve(tmp_path, environ=environ)
    assert resolved.settings.sources["crm"].options == {"password": secret}


@pytest.mark.parametrize(
    ("rows", "entity", "words"),
    [
        (
            [{"id": 1, "amount": 1}, {"id": 2, "amount": "many"}],
            "data_type",
            (
                "orders.amount is bigint, and a row came with text there (id 2): set "
                "sources.crm.schema_contract.data_type to evolve (such values go to "
                "amount__v_text), to discard_value or discard_row; or, where the type is to "
                "change, `headrace load --full-refresh --source crm`"
            ),
        ),
        (
            [{"id": 1}, {"id": 2, "note": "new"}],
            "columns",
            (
                "the column orders.note is new (id 2), and the contract takes none: set "
                "sources.crm.schema_contract.columns to evolve"
            ),
        ),
        (
            [{"id": 1}],
            "tables",
            (
                "the table orders is new, and the contract takes none: set "
                "sources.crm.schema_contract.tables to evolve"
            ),
        ),
    ],
)
def test_what_breaks_the_schema_contract(
    rows: list[dict[str, object]], entity: str, words: str, tmp_path: Path
) -> None:
    """As dlt says it, by its own steps."""
    pipeline = dlt.pipeline("crm", destination="duckdb", pipelines_dir=str(tmp_path))

    def read(row: dict[str, object], contract: Any) -> None:
        source = dlt.resource([row], name="orders", primary_key="id", schema_contract=contract)
        pipeline.extract(source)
        pipeline.normalize()

    for row in rows[:-1]:
        read(row, "evolve")
    with pytest.raises(PipelineStepFailed) as caught:
        read(rows[-1], {entity: "freeze"})
    assert explain("crm", list(causes(caught.value)), API) == words


def test_line_of_a_sources_own_exception(tmp_path: Path) -> None:
    (tmp_path / "source_that_fails.py").write_text("def rows():\n    yield {}['id']\n")
    module = import_from(tmp_path, "source_that_fails")
    try:
        list(module.rows())
    except KeyError as error:
        wrapped = RuntimeError("what dlt says")
        wrapped.__cause__ = error
    found = load_error(wrapped, "crm", place=tmp_path, root=tmp_path, options=tuple)
    assert str(found) == "source crm: source_that_fails.py line 2: KeyError: 'id'"
    assert found.detail is not None
    assert found.detail.place == "source_that_fails.py:2"
    elsewhere = load_error(wrapped, "crm", place=tmp_path, root=tmp_path / "x", options=tuple)
    assert str(elsewhere) == "source crm: KeyError: 'id' (--debug shows where)"
    assert elsewhere.detail is None
