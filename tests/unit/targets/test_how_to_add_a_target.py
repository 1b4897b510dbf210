"""The module in docs/how-to/add-a-target.md is a target; without MotherDuck itself."""

import re
from pathlib import Path

import pytest

from headrace.errors import WarehouseError
from headrace.settings import resolve
from headrace.targets import Target, TargetSettings
from headrace.targets.registry import OWN_TYPES

PAGE = Path(__file__).parents[3] / "docs" / "how-to" / "add-a-target.md"


@pytest.fixture
def target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Target:
    found = re.search(r"(?s)```python\n(.*?)```", PAGE.read_text("utf-8"))
    assert found is not None
    (tmp_path / "shown_motherduck.py").write_text(found[1], "utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setitem(OWN_TYPES, "motherduck", "shown_motherduck:MotherDuckSettings")
    monkeypatch.delenv("MOTHERDUCK_TOKEN", raising=False)
    (tmp_path / "config").mkdir()
    flags = ["target=md", "targets.md.type=motherduck", "targets.md.database=shop"]
    return resolve(tmp_path, flags=flags, environ={}).target


def test_the_settings_lead_to_the_target(target: Target) -> None:
    assert (target.name, target.database, target.location) == ("md", "shop", "md:shop")
    assert target.lock_path.parts[-4:] == ("data", "targets", "md", "motherduck.lock")
    output = target.dbt_output()
    assert (output["type"], output["path"]) == ("duckdb", "md:shop")


def test_it_has_all_that_a_target_has(target: Target) -> None:
    wanted = {name for name in vars(Target) if not name.startswith("_")}
    assert {name for name in wanted if not hasattr(target, name)} == set()
    assert isinstance(type(target), type)
    assert not isinstance(target, TargetSettings)


def test_without_a_token_it_says_what_to_set(target: Target) -> None:
    with pytest.raises(WarehouseError, match="set MOTHERDUCK_TOKEN"):
        target.check()
    with pytest.raises(WarehouseError, match="set MOTHERDUCK_TOKEN"):
        target.row_counts("marts")
