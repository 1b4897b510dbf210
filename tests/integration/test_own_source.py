"""A user's own dlt source: settings reach it, it is counted, and the contract holds for it."""

import shutil
from pathlib import Path

import pytest

from headrace.errors import SettingsError, SourceError
from headrace.pipeline.reports import TableReport
from headrace.pipeline.run import run
from headrace.settings import resolve

ROOT = Path(__file__).parents[2]
SOURCE = '''
"""Weather by city."""

import dlt
from dlt.extract import DltSource


def build_source(*, cities: list[str], wind: bool = False) -> DltSource:
    """Rows for the cities of the settings."""

    @dlt.resource(primary_key="city", write_disposition="merge")
    def days():
        for number, city in enumerate(cities):
            yield {"city": city, "celsius": number} | ({"wind": 3} if wind else {})

    return dlt.source(lambda: days, name="weather")()
'''


@pytest.fixture
def project(tmp_path: Path) -> Path:
    root = tmp_path / "project"
    shutil.copytree(ROOT / "config", root / "config")
    folder = root / "dlt_pipelines" / "weather"
    folder.mkdir(parents=True)
    (folder / "__init__.py").write_text(SOURCE)
    return root


def load(project: Path, **options: object) -> TableReport:
    given = "{" + ", ".join(f"{key}: {value}" for key, value in options.items()) + "}"
    resolved = resolve(project, flags=[f"sources.weather={given}"], environ={})
    report = run(resolved, steps=("load",), source_names=("weather",))
    assert report.load is not None
    (table,) = report.load.tables
    return table


def test_a_source_of_ones_own(project: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(ROOT))
    import dlt_pipelines

    monkeypatch.setattr(dlt_pipelines, "__path__", [str(project / "dlt_pipelines")])
    with pytest.raises(SettingsError, match=r"sources.weather.cities is not set"):
        load(project, wind="true")
    with pytest.raises(SettingsError, match=r"flag: sources.weather.cities = 'Bern'"):
        load(project, cities="Bern")
    first = load(project, cities="[Bern, Oslo]")
    assert (first.table, first.rows_new, first.rows_total) == ("days", 2, 2)
    second = load(project, cities="[Oslo, Bern, Rome]")
    assert (second.rows_new, second.rows_changed, second.rows_total) == (1, 2, 3)
    with pytest.raises(SourceError, match="wind"):
        load(project, cities="[Bern]", wind="true", schema_contract="freeze")
    assert load(project, cities="[Bern]", wind="true").rows_total == 3
