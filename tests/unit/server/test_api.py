"""The routes: what they take and give, errors in one shape, and what their description says."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import pytest
from server_lab import Client, Project, assert_problem, write_project

from headrace.catalog import Asset, Catalog, Column, RunStore
from headrace.errors import RunStoreError
from headrace.server import models, profiles, quality
from headrace.server.response_cache import MAX_BYTES, ResponseCache

AWKWARD = (
    "model.lab./etc/passwd",
    "model.lab.../../../secret",
    "model.lab.a/b/sample",
    "model.lab.a?b&c=d#e",
    'model.lab."quoted"',
    "model.lab.it's; drop table nodes; --",
    "model.lab.<script>alert(1)</script>",
    "model.lab.مرحبا\u202etxt",
    "model.lab.%2e%2e%2f",
    "model.lab. spaced  out ",
    "model.lab.back\\slash",
    "model.lab.日本",
)


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Project:
    return write_project(tmp_path_factory.mktemp("project"))


@pytest.fixture(scope="module")
def client(project: Project) -> Iterator[Client]:
    with Client(project.state()) as found:
        yield found


def addresses(project: Project) -> dict[str, dict[str, Any]]:
    column = project.catalog.assets[project.mart].columns[0].name
    return {
        "/api/v1/home": {},
        "/api/v1/assets": {"search": "order", "kind": "model", "limit": 5},
        "/api/v1/asset": {"id": project.mart},
        "/api/v1/sample": {"id": project.mart, "limit": 2},
        "/api/v1/profile": {"id": project.mart},
        "/api/v1/quality": {},
        "/api/v1/metrics": {"id": project.mart},
        "/api/v1/lineage": {"id": project.mart, "column": column, "direction": "upstream"},
        "/api/v1/impact": {"id": project.mart},
        "/api/v1/runs": {"limit": 2},
        "/api/v1/run": {"id": "run-001", "limit": 3},
        "/api/v1/changes": {"days": 7, "id": project.mart},
        "/api/v1/search": {"q": "order"},
        "/healthz": {},
    }


def test_every_route_answers_as_its_description_says(client: Client, project: Project) -> None:
    schema = client.json("/api/openapi.json")
    asked = addresses(project)
    assert set(schema["paths"]) == {
        *asked,
        "/api/v1/events",
        "/api/v1/comparison",
    }  # tested elsewhere
    known = {**vars(models), **lineage_models(), **vars(profiles), **vars(quality)}
    for path, params in asked.items():
        described = schema["paths"][path]["get"]
        reference = described["responses"]["200"]["content"]["application/json"]["schema"]["$ref"]
        model = known[reference.rpartition("/")[2]]
        answer = client.get(path, params)
        assert answer.status_code == 200, answer.text
        assert answer.headers["content-type"] == "application/json"
        model.model_validate_json(answer.text)
        assert {each["name"] for each in described.get("parameters", ())} >= set(params)


def lineage_models() -> dict[str, Any]:
    from headrace.lineage import report

    return vars(report)


def test_openapi_is_whole(client: Client) -> None:
    schema = client.json("/api/openapi.json")
    assert schema["openapi"].startswith("3.1")
    text = json.dumps(schema)
    components = schema["components"]["schemas"]
    for part in text.split('"$ref": "#/components/schemas/')[1:]:
        assert part.partition('"')[0] in components
    assert "HTTPValidationError" not in text
    names = [
        operation["operationId"] for path in schema["paths"].values() for operation in path.values()
    ]
    assert len(names) == len(set(names))
    for path, operations in schema["paths"].items():
        assert set(operations) == {"get"}
        operation = operations["get"]
        assert operation["summary"]
        assert operation["description"]
        assert operation["tags"]
        if path.startswith("/api/v1/"):
            for status in ("401", "422", "503"):
                content = operation["responses"][status]["content"]
                assert content["application/problem+json"]["schema"]["$ref"].endswith("/Problem")
        if any(
            each["name"] == "id" and each["required"] for each in operation.get("parameters", ())
        ):
            assert "404" in operation["responses"]
        for parameter in operation.get("parameters", ()):
            assert parameter.get("description"), (path, parameter["name"])
    assert "cdn" not in text
    for path in schema["paths"]:
        if path not in {"/healthz", "/api/v1/assets"}:
            assert path in schema["info"]["description"], "it says where to begin"
    assert client.json("/openapi.json") == schema, "where programs look for it first"


@pytest.mark.parametrize(
    ("path", "params", "said"),
    [
        ("/api/v1/assets", {"limit": 0}, "limit"),
        ("/api/v1/assets", {"limit": 501}, "limit"),
        ("/api/v1/assets", {"limit": "many"}, "limit"),
        ("/api/v1/assets", {"offset": -1}, "offset"),
        ("/api/v1/assets", {"search": "x" * 201}, "search"),
        ("/api/v1/asset", {}, "id"),
        ("/api/v1/asset", {"id": ""}, "id"),
        ("/api/v1/asset", {"id": "x" * 1001}, "id"),
        ("/api/v1/sample", {"id": "x", "limit": 51}, "limit"),
        ("/api/v1/lineage", {"id": "x", "direction": "sideways"}, "direction"),
        ("/api/v1/lineage", {"id": "x", "depth": 0}, "depth"),
        ("/api/v1/run", {"id": "../../etc/passwd"}, "id"),
        ("/api/v1/run", {"id": "a\0b"}, "id"),
        ("/api/v1/changes", {"days": 366}, "days"),
        ("/api/v1/search", {"q": "x", "limit": 101}, "limit"),
        ("/api/v1/search", {}, "q"),
    ],
)
def test_a_wrong_parameter_is_named(
    client: Client, path: str, params: dict[str, Any], said: str
) -> None:
    found = assert_problem(client.get(path, params), 422, "invalid_parameter")
    assert found["detail"].startswith(f"{said}: ")


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/nothing", "/api/v1/", "/api/v1/asset/", "/api/docs", "/docs", "/redoc",
        "/nothing", "/api/v1/%2e%2e/%2e%2e/etc/passwd",
        "/static/%2e%2e/app.py", "/static/..%2fapp.py", "/static/%2fetc/passwd",
        "/static//etc/passwd", "/static/css/%00", "/static/", "/%00",
    ],
)  # fmt: skip
def test_what_is_not_there_is_a_404(client: Client, path: str) -> None:
    assert_problem(client.get(path), 404, "not_found")


@pytest.mark.parametrize("path", ["/api/v1/asset", "/api/v1/sample", "/api/v1/lineage"])
@pytest.mark.parametrize("asset_id", ["model.lab.x", "../../etc/passwd", "a\0b", "' or 1=1", "<b>"])
def test_an_unknown_asset_is_a_404(client: Client, path: str, asset_id: str) -> None:
    found = assert_problem(client.get(path, {"id": asset_id}), 404, "not_found")
    assert "search" in found["hint"]


def test_a_browser_gets_a_page_for_an_error_and_a_program_json(client: Client) -> None:
    answer = client.get("/nothing", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 404
    assert answer.headers["content-type"].startswith("text/html")
    assert "<h1" in answer.text
    answer = client.get("/api/v1/nothing", headers={"accept": "text/html,*/*"})
    assert_problem(answer, 404, "not_found")


def test_awkward_names_travel_unharmed(project: Project) -> None:
    assets = {
        key: Asset(id=key, kind="model", name=key[10:], columns=(Column(f"c {key}", "INTEGER"),))
        for key in AWKWARD
    }
    directory = project.directory / "awkward"
    directory.mkdir()
    odd = Project(directory, Catalog(assets, dict.fromkeys(assets, ())))
    odd.save(odd.catalog)
    with Client(odd.state()) as client:
        listed = client.json("/api/v1/assets", limit=100)["assets"]
        assert {asset["id"] for asset in listed} == set(AWKWARD)
        for key in AWKWARD:
            assert client.json("/api/v1/asset", id=key)["name"] == key[10:]
            by_hand = client.get(f"/api/v1/lineage?id={quote(key, safe='')}")
            assert by_hand.json()["root"] == key
            column = client.json("/api/v1/lineage", id=key, column=f"c {key}")
            assert column["column"] == f"c {key}"
            page = client.get(f"/assets/{quote(key, safe='')}", headers={"accept": "text/html"})
            assert page.status_code == 200
            assert "<script>alert" not in page.text


def test_who_has_an_answer_is_not_sent_it_again(client: Client, project: Project) -> None:
    first = client.get("/api/v1/asset", {"id": project.mart})
    tag = first.headers["etag"]
    assert first.headers["cache-control"] == "private, no-cache"
    again = client.get("/api/v1/asset", {"id": project.mart}, {"if-none-match": f'"x", {tag}'})
    assert again.status_code == 304
    assert again.content == b""
    assert again.headers["etag"] == tag
    assert client.get("/api/v1/home", headers={"if-none-match": '"old"'}).status_code == 200


def test_an_answer_is_another_one_after_something_moved(tmp_path_factory: Any) -> None:
    project = write_project(tmp_path_factory.mktemp("moving"))
    state = project.state()
    with Client(state) as client:
        tag = client.get("/api/v1/runs").headers["etag"]
        store = RunStore(project.url)
        store.begin_run("new", command="headrace run", target="x", lock="y", code_version="1")
        store.close()
        assert state.refresh()
        answer = client.get("/api/v1/runs", headers={"if-none-match": tag})
        assert answer.status_code == 200
        assert answer.json()["runs"][0]["run_id"] == "new"


def test_a_run_that_goes_on_is_not_remembered(tmp_path_factory: Any) -> None:
    from headrace.pipeline import lock

    project = write_project(tmp_path_factory.mktemp("running"))
    with (
        lock.hold_file(project.directory / "lock", "headrace run"),
        Client(project.state()) as client,
    ):
        store = RunStore(project.url)
        store.begin_run("now", command="headrace run", target="x", lock="y", code_version="1")
        answer = client.get("/api/v1/run", {"id": "now"})
        assert answer.json()["run"]["status"] == "running"
        assert "etag" not in answer.headers
        store.add_step("now", "load", "success", 1.0)
        store.close()
        assert [one["step"] for one in client.json("/api/v1/run", id="now")["steps"]] == ["load"]


def test_answers_are_compressed_for_who_takes_that(client: Client) -> None:
    packed = client.get("/api/v1/assets", headers={"accept-encoding": "gzip"})
    plain = client.get("/api/v1/assets", headers={"accept-encoding": "identity"})
    assert packed.headers["content-encoding"] == "gzip"
    assert "content-encoding" not in plain.headers
    assert int(packed.headers["content-length"]) < int(plain.headers["content-length"]) / 2
    assert packed.json() == plain.json()
    assert packed.headers["vary"] == plain.headers["vary"] == "Accept-Encoding"


def test_head_is_get_without_a_body(client: Client, project: Project) -> None:
    for path in ("/api/v1/home", f"/api/v1/asset?id={quote(project.mart)}", "/healthz", "/"):
        head = client.ask("HEAD", path)
        got = client.get(path)
        assert head.status_code == got.status_code == 200
        assert head.content == b""
        assert head.headers["content-length"] == got.headers["content-length"]


def test_a_failure_inside_says_nothing_of_the_inside(
    project: Project, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def fail(*_: object) -> None:
        raise RuntimeError("the secret of /home/me")

    monkeypatch.setattr("headrace.server.queries.home", fail)
    with Client(project.state()) as client:
        answer = client.get("/api/v1/home")
        assert_problem(answer, 500, "internal")
        assert "secret" not in answer.text
        page = client.get("/", headers={"accept": "text/html"})
        assert page.status_code == 500
        assert "secret" not in page.text
    assert "the secret of /home/me" in caplog.text


def test_a_run_store_that_fails_is_unavailable_and_its_address_is_kept(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object, **__: object) -> None:
        raise RunStoreError("the run store postgresql://me@db/x cannot be used")

    with Client(project.state()) as client:
        assert client.get("/api/v1/home").status_code == 200
        monkeypatch.setattr("headrace.server.store.ServerStore.histories", fail)
        answer = client.get("/api/v1/asset", {"id": project.mart})
        assert_problem(answer, 503, "unavailable")
        assert "postgresql" not in answer.text


def test_before_the_first_run_every_list_is_empty(tmp_path_factory: Any) -> None:
    with Client(Project(tmp_path_factory.mktemp("empty")).state()) as client:
        assert "headrace run" in client.json("/api/v1/home")["hint"]
        assert client.json("/api/v1/assets")["total"] == 0
        assert client.json("/api/v1/runs")["runs"] == []
        assert client.json("/api/v1/changes")["changes"] == []
        assert client.json("/api/v1/search", q="x")["hits"] == []
        answer = client.get("/api/v1/asset", {"id": "model.lab.x"})
        assert "headrace run" in assert_problem(answer, 404, "not_found")["hint"]
        assert client.get("/", headers={"accept": "text/html"}).status_code == 200


def test_personal_data_is_forbidden_unless_allowed(client: Client, project: Project) -> None:
    answer = client.get("/api/v1/sample", {"id": project.mart, "pii": True})
    assert "--allow-pii" in assert_problem(answer, 403, "forbidden")["hint"]
    with Client(project.state(allow_pii=True)) as allowed:
        assert allowed.json("/api/v1/sample", id=project.mart, pii=True)["pii_allowed"] is True


def test_old_responses_are_dropped_before_the_cache_is_too_large(client: Client) -> None:
    cache = ResponseCache(client.state)
    quarter = b"x" * (MAX_BYTES // 4)
    for number in range(3):
        cache.add(f"/{number}", quarter)
    assert len(cache.kept) == 3
    for number in range(3, 10):
        cache.add(f"/{number}", quarter)
    assert list(cache.kept) == [f"/{number}" for number in (6, 7, 8, 9)]
    cache.add("/huge", b"x" * MAX_BYTES)
    assert "/huge" not in cache.kept
