"""The page of a dbt project that Headrace does not run says nothing of loads and publishing."""

from pathlib import Path

import pytest
from server_lab import Client
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.errors import ArtifactError
from headrace.pipeline.artifacts_folder import opened
from headrace.server.state import open_state

FIXTURES = Path(__file__).parents[2] / "fixtures" / "artifacts"


@pytest.fixture(autouse=True)
def _own_cache(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = tmp_path_factory.mktemp("cache")
    monkeypatch.setenv("XDG_CACHE_HOME", str(cache))


@pytest.mark.parametrize(("folder", "has_results"), [("dbt_1_12", True), ("adapters/trino", False)])
def test_pages_and_api(folder: str, has_results: bool) -> None:
    with (
        opened(FIXTURES / folder) as found,
        Client(open_state(found.resolved, catalog_only=True)) as client,
    ):
        home = client.get("/").text
        runs = client.get("/runs").text
        report = client.json("/api/v1/home")
        model = "fct_orders" if has_results else "daily"
        found_by_search = client.json("/api/v1/assets", search=model)["assets"]
        graph = client.get("/lineage", {"id": found_by_search[0]["id"]})
    assert report["catalog_only"] is True
    assert found_by_search[0]["name"] == model
    assert graph.status_code == 200
    assert "<code>headrace run</code>" not in home + runs
    assert "Published" not in home
    assert ("failing" in home) == has_results
    assert "dbt build" in runs
    assert bool(report["runs"]) == has_results


def test_commands_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder = str(FIXTURES / "adapters" / "snowflake")
    traced = CliRunner().invoke(app, ["lineage", "--artifacts", folder, "daily.sku"])
    assert traced.exit_code == 0, traced.output
    assert "stg_orders.lines" in traced.stdout
    assert "note: there is no catalog.json" in traced.stderr
    impact = CliRunner().invoke(
        app, ["lineage", "--artifacts", folder, "stg_orders.lines", "--impact", "--json"]
    )
    assert impact.exit_code == 0, impact.output
    assert '"model.shop.daily"' in impact.stdout
    site = CliRunner().invoke(app, ["docs", "--artifacts", folder, "--out", str(tmp_path / "site")])
    assert site.exit_code == 0, site.output
    assert "daily" in (tmp_path / "site" / "assets.html").read_text("utf-8")
    for words in (["--verify"], ["daily", "--project-dir", "."], ["daily", "--env", "x"]):
        refused = CliRunner().invoke(app, ["lineage", "--artifacts", folder, *words])
        assert isinstance(refused.exception, Exception)
        assert "--artifacts" in str(refused.exception)
    gone = CliRunner().invoke(app, ["serve", "--artifacts", str(tmp_path)])
    assert isinstance(gone.exception, ArtifactError)
