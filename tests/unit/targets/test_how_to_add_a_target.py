"""docs/how-to/add-a-target.md is followed step by step in a project; without MotherDuck itself."""

import importlib
import os
import re
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import target_places
from headrace.errors import WarehouseError
from headrace.settings import resolve
from headrace.targets import Target, TargetSettings

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-target.md"
MODULE, PLACE = re.findall(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8"))


def block(language: str) -> str:
    found = re.search(rf"(?s)```{language}\n(.*?)```", PAGE.read_text("utf-8"))
    assert found is not None
    return found[1]


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """Steps 1 to 3: the package as an installer leaves it, and the settings."""
    package = tomllib.loads(block("toml"))["project"]
    installed = tmp_path / "site-packages"
    info = installed / f"{package['name'].replace('-', '_')}-{package['version']}.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text(f"Name: {package['name']}\nVersion: {package['version']}\n")
    ((group, points),) = package["entry-points"].items()
    lines = [f"[{group}]", *(f"{key} = {value}" for key, value in points.items())]
    (info / "entry_points.txt").write_text("\n".join(lines))
    (installed / f"{next(iter(points.values())).partition(':')[0]}.py").write_text(MODULE, "utf-8")
    monkeypatch.syspath_prepend(installed)
    monkeypatch.delenv("MOTHERDUCK_TOKEN", raising=False)
    importlib.invalidate_caches()
    (tmp_path / "config").mkdir()
    (tmp_path / "config" / "default.yml").write_text(block("yaml"))
    yield tmp_path
    importlib.invalidate_caches()


def target_of(project: Path, *flags: str) -> Target:
    return resolve(project, flags=["target=motherduck", *flags], environ={}).target


def test_the_settings_lead_to_the_target(project: Path) -> None:
    target = target_of(project)
    assert (target.name, target.database, target.location) == ("motherduck", "shop", "md:shop")
    assert target.lock_path.parts[-4:] == ("data", "targets", "motherduck", "motherduck.lock")
    output = target.dbt_output()
    assert (output["type"], output["path"]) == ("duckdb", "md:shop")
    assert target.publisher() is None


def test_it_has_all_that_a_target_has(project: Path) -> None:
    target = target_of(project)
    wanted = {name for name in vars(Target) if not name.startswith("_")}
    assert {name for name in wanted if not hasattr(target, name)} == set()
    assert isinstance(type(target), type)
    assert not isinstance(target, TargetSettings)


def test_without_a_token_it_says_what_to_set(project: Path) -> None:
    target = target_of(project)
    said = "md:shop needs a token: set MOTHERDUCK_TOKEN"
    assert said in PAGE.read_text("utf-8")
    for ask in (target.check, target.exists, lambda: target.row_counts("marts")):
        with pytest.raises(WarehouseError) as caught:
            ask()
        assert str(caught.value) == said


def test_what_it_is_not_installed_with_is_named_and_its_token_never(project: Path) -> None:
    target = target_of(project, "targets.motherduck.token=quack-secret")
    if importlib.util.find_spec("duckdb_extension_motherduck") is None:
        with pytest.raises(WarehouseError, match="run `uv add duckdb-extension-motherduck`"):
            target.check()
    assert "quack" not in repr(target)
    assert "quack" not in target.location


def test_dlt_takes_the_destination(project: Path) -> None:
    import dlt

    target = target_of(project, "targets.motherduck.token=quack-secret")
    pipeline = dlt.pipeline(
        "shop", destination=target.dlt_destination(), pipelines_dir=str(project / "dlt")
    )
    assert pipeline.destination is not None
    assert pipeline.destination.destination_name == "motherduck"


def test_the_place_of_the_contract_leads_to_it(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    places = dict(target_places.PLACES)
    names: dict[str, Any] = {
        "contextmanager": contextmanager, "Iterator": Iterator, "Path": Path, "os": os,
        "Place": target_places.Place, "PLACES": places, "pytest": pytest,
    }  # fmt: skip
    exec(PLACE, names)  # noqa: S102 - the page's own
    monkeypatch.setenv("MOTHERDUCK_TOKEN", "quack")
    monkeypatch.setattr(pytest, "importorskip", lambda name: None)
    (project / "config" / "default.yml").unlink()
    with places["motherduck"](project) as place:
        target = resolve(project, flags=[f"target={place.target}", *place.flags]).target
    assert target.location.startswith("md:headrace_contract_")
