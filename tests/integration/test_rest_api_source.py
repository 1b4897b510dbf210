"""The REST source that ``headrace add source`` writes: what it asks for, and what comes of it."""

import os
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import api_lab
import pytest
from api_lab import Api, customer, customers
from lab import Lab, Rows

from headrace.add import AddRequest
from headrace.errors import SourceError

TOKEN = "s3cret-t0ken-of-the-test"  # noqa: S105 - of a server on this machine
CRM = AddRequest(
    name="crm",
    kind="rest_api",
    resource=("customers", "orders=v2/orders"),
    primary_key=("id",),
    cursor="updated_at",
)
EVERYTHING = "select id, name, updated_at from crm_raw.customers order by id"


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    lab = api_lab.project(tmp_path_factory.mktemp("rest"))
    report = api_lab.added(lab, CRM)
    assert report.not_loaded == "set sources.crm.base_url and enabled: true in config/default.yml"
    return lab.root


@pytest.fixture
def api() -> Iterator[Api]:
    with api_lab.serve() as server:
        server.answers.tables = {"/v1/customers": customers(7), "/v1/v2/orders": []}
        yield server


@pytest.fixture
def crm(root: Path, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Lab:
    lab = Lab(tmp_path / "data", root, (f"sources.crm.base_url={api.url}",))
    api_lab.use_pipelines(monkeypatch, lab)
    return lab.set("sources.crm.max_wait=0.05")


def loaded(lab: Lab) -> Rows:
    lab.load("crm")
    return lab.query(EVERYTHING)


def clean(crm: Lab, tmp_path: Path) -> Rows:
    """What one load into an empty warehouse would have brought."""
    return loaded(Lab(tmp_path / "clean", crm.root, crm.flags))


def failure(lab: Lab) -> str:
    with pytest.raises(SourceError) as caught:
        lab.load("crm")
    message = str(caught.value)
    assert "\n" not in message
    assert TOKEN not in message
    return message


def test_all_pages_are_read(crm: Lab, api: Api) -> None:
    assert [row[0] for row in loaded(crm)] == [1, 2, 3, 4, 5, 6, 7]
    assert [call.query.get("first") for call in api.asked()] == [None, "3", "6"]
    assert all("since" not in call.query for call in api.asked())


def test_a_second_load_asks_for_what_changed(crm: Lab, api: Api, tmp_path: Path) -> None:
    loaded(crm)
    api.calls.clear()
    rows = api.answers.tables["/v1/customers"]
    rows[1] = customer(2, 20)
    rows.append(customer(8, 21))
    assert len(loaded(crm)) == 8
    # one page: the last one seen, the one that changed, the one that is new
    assert [call.query for call in api.asked()] == [{"since": "2026-01-07T00:00:00Z"}]
    assert crm.query(EVERYTHING) == clean(crm, tmp_path)
    ids = crm.query("select count(*), count(distinct _dlt_load_id) from crm_raw.customers")
    assert ids == [(8, 2)]
    api.calls.clear()
    before = crm.query("select * from crm_raw.customers order by id")
    loaded(crm)
    assert [call.query for call in api.asked()] == [{"since": "2026-01-21T00:00:00Z"}]
    assert crm.query("select * from crm_raw.customers order by id") == before


def test_nested_lists_become_tables(crm: Lab, api: Api) -> None:
    lines = [{"sku": "a", "number": 1}, {"sku": "b", "number": 2}]
    orders = api.answers.tables["/v1/v2/orders"]
    orders += [customer(1, 1, lines=lines), customer(2, 2, lines=[])]
    loaded(crm)
    orders[0] = customer(1, 3, lines=lines[:1])
    loaded(crm)
    assert crm.query("select id from crm_raw.orders order by id") == [(1,), (2,)]
    assert crm.query("select sku, number from crm_raw.orders__lines") == [("a", 1)]


def test_a_null_in_the_cursor_is_merged_too(crm: Lab, api: Api) -> None:
    api.answers.tables["/v1/customers"] += [customer(8, 8) | {"updated_at": None}]
    loaded(crm)
    api.answers.tables["/v1/customers"][-1]["name"] = "changed"
    rows = loaded(crm)
    assert len(rows) == 8
    assert rows[-1] == (8, "changed", None)


def test_a_row_without_the_cursor_is_refused(crm: Lab, api: Api) -> None:
    del api.answers.tables["/v1/customers"][4]["updated_at"]
    assert failure(crm) == (
        "source crm: customers: a row has no field 'updated_at', its cursor; it has id, name: set "
        "cursor at sources.crm.resource_defaults"
    )


def test_deleted_rows_can_be_taken_out(
    crm: Lab, api: Api, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By ``--deleted``: a flag by which the API marks what is deleted."""
    other = api_lab.project(tmp_path)
    api_lab.added(other, replace(CRM, deleted="deleted"))
    lab = Lab(crm.data_dir, other.root, (*crm.flags, "sources.crm.enabled=true"))
    api_lab.use_pipelines(monkeypatch, lab)
    api.answers.tables["/v1/customers"] = [customer(n, n, deleted=False) for n in (1, 2, 3)]
    assert [row[0] for row in loaded(lab)] == [1, 2, 3]
    api.answers.tables["/v1/customers"][1] = customer(2, 9, deleted=True)
    assert [row[0] for row in loaded(lab)] == [1, 3]


def test_retry_after_is_honoured(crm: Lab, api: Api) -> None:
    api.answers.fail = [(429, {"Retry-After": "2"})]
    assert len(loaded(crm.set("sources.crm.max_wait=30"))) == 7
    first, second = api.asked()[:2]
    assert 2.0 <= second.at - first.at < 25


@pytest.mark.parametrize("status", [429, 503])
def test_attempts_are_bounded(crm: Lab, api: Api, status: int, tmp_path: Path) -> None:
    api.answers.fail, api.answers.forever = [(status, {"Retry-After": "3600"})], True
    api.answers.first_failing = 3  # the first page is good
    message = failure(crm.set("sources.crm.max_attempts=3"))
    assert [call.query.get("first") for call in api.asked()] == [None, "3", "3", "3"]
    assert message.startswith(f"source crm: GET {api.url}/customers returned {status} ")
    assert "sources.crm.max_attempts" in message
    # what was read of it is forgotten, and read again
    api.answers.fail = []
    assert loaded(crm) == clean(crm, tmp_path)


def test_a_few_failures_are_overcome(crm: Lab, api: Api) -> None:
    api.answers.fail = [(500, {}), (503, {}), (429, {}), (502, {})]
    assert len(loaded(crm)) == 7
    assert len(api.asked()) == 4 + 3


def test_a_wrong_token(crm: Lab, api: Api) -> None:
    api.answers.token = TOKEN
    for flags in ((), ("sources.crm.token=another-token-that-is-wrong",)):
        message = failure(crm.set(*flags))
        assert message == (
            f"source crm: GET {api.url}/customers returned 401 Unauthorized: set "
            "HEADRACE_SOURCES__CRM__TOKEN in .env or the environment, or renew it"
        )
    api.calls.clear()
    assert len(loaded(crm.set(f"sources.crm.token={TOKEN}"))) == 7
    assert len(api.asked()) == 3


def test_the_command_ends_in_one_line(crm: Lab, api: Api) -> None:
    api.answers.token = TOKEN
    crm = Lab(crm.data_dir, crm.root, crm.flags, {"HEADRACE_SOURCES__CRM__TOKEN": TOKEN + "-old"})
    result = crm.command("load", "--source", "crm")
    assert result.returncode == 2
    assert result.stderr.strip().startswith("error: source crm: GET http://127.0.0.1:")
    assert len(result.stderr.strip().splitlines()) == 1
    good = Lab(crm.data_dir, crm.root, crm.flags, {"HEADRACE_SOURCES__CRM__TOKEN": TOKEN})
    assert good.command("load", "--source", "crm").returncode == 0
    where = good.command("where")
    assert "sources.crm.token" in where.stdout
    assert TOKEN not in where.stdout + result.stdout + result.stderr
    for path in crm.data_dir.rglob("*"):
        assert not path.is_file() or TOKEN.encode() not in path.read_bytes(), path


def test_wrong_addresses(crm: Lab, api: Api) -> None:
    with api_lab.serve() as gone:
        pass
    cases = {
        gone.url: "could not be reached (Connection refused): sources.crm.base_url",
        f"{api.url}/nothing": "returned 404 Not Found: correct sources.crm.base_url",
        "http://no-such-host.invalid": "could not be reached",
        "nonsense": "sources.crm.base_url is not a URL",
    }
    for url, words in cases.items():
        message = failure(crm.set(f"sources.crm.base_url={url}", "sources.crm.max_attempts=2"))
        assert words in message


def test_an_answer_that_is_no_json(crm: Lab, api: Api) -> None:
    api.answers.extra = lambda: b"<html>Log in first</html>"
    assert "an answer was no JSON: see whether sources.crm.base_url" in failure(crm)


def test_an_api_without_rows(crm: Lab, api: Api) -> None:
    api.answers.tables["/v1/customers"] = []
    crm.load("crm")
    api.answers.tables["/v1/customers"] = customers(2)
    assert len(loaded(crm)) == 2


def test_a_load_that_is_killed_is_made_anew(crm: Lab, api: Api, tmp_path: Path) -> None:
    loaded(crm)
    api.answers.tables["/v1/customers"] += [customer(n, n) for n in range(8, 16)]
    api.answers.hang = True
    flags = [word for flag in (f"data_dir={crm.data_dir}", *crm.flags) for word in ("--set", flag)]
    command = [sys.executable, "-m", "headrace", "load", "--source", "crm", *flags]
    plain = {key: text for key, text in os.environ.items() if not key.startswith("HEADRACE_")}
    with subprocess.Popen(
        command, cwd=crm.root, env=plain, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as process:
        assert api.hanging.wait(300)
        process.kill()
    api.answers.hang = False
    api.released.set()
    assert len(loaded(crm)) == 15
    assert crm.query(EVERYTHING) == clean(crm, tmp_path)
