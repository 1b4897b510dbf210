"""A project in which nothing is enabled, or in which there is nothing at all, runs all the same."""

import shutil
from pathlib import Path

import pytest
from lab import Lab, copy_project, fingerprint

from headrace.errors import SettingsError
from headrace.pipeline.status import status

NONE = "no source is enabled: set `enabled: true` for one in config/default.yml"


@pytest.fixture
def bare(tmp_path: Path) -> Lab:
    """A project with no source, no model and no test."""
    root = copy_project(tmp_path / "project")
    (root / "config" / "default.yml").write_text("sources: {}\n")
    for name in ("models", "tests"):
        shutil.rmtree(root / "dbt_project" / name)
        (root / "dbt_project" / name).mkdir()
    return Lab(tmp_path / "data", root)


def test_a_run_builds_what_there_is(done: Lab) -> None:
    """What was loaded before is built and published, though it is not loaded any more."""
    lab = done.set("sources.jaffle_shop.enabled=false")
    before = fingerprint(lab.published)
    report = lab.run()
    assert report.status == "success"
    assert report.load is None
    assert report.notes[0].startswith(NONE)
    assert report.publish is not None
    assert {table.name for table in report.publish.tables} == {"marts.customers", "marts.orders"}
    assert fingerprint(lab.published) == before


def test_nothing_was_ever_loaded(lab: Lab) -> None:
    lab = lab.set("sources.jaffle_shop.enabled=false")
    report = lab.run()
    assert report.status == "success"
    assert report.publish is not None
    assert (report.publish.tables, report.publish.written) == ((), False)
    assert not lab.published.exists()
    (line,) = status(lab.resolved, limit=5).runs
    assert (line.status, line.failures) == ("success", ())
    # and with a source it is as ever
    assert {table.name for table in Lab(lab.data_dir, lab.root).run().publish.tables} == {  # type: ignore[union-attr]
        "marts.customers",
        "marts.orders",
    }


def test_a_project_without_models(bare: Lab) -> None:
    for is_reused in (False, True):
        report = bare.run()
        assert (report.status, report.published_path) == ("success", None)
        assert report.build is not None
        assert (report.build.nodes, report.build.reused) == ((), is_reused)
        assert report.notes[0].startswith(NONE)
    assert not bare.published.exists()


def test_what_is_published_stays_when_no_mart_is_left(done: Lab, bare: Lab) -> None:
    before = fingerprint(done.published)
    emptied = Lab(done.data_dir, bare.root)
    report = emptied.run(full_refresh=True)
    assert report.status == "success"
    assert report.publish is not None
    assert not report.publish.written
    assert fingerprint(done.published) == before


def test_the_commands_say_plainly_that_there_is_nothing(bare: Lab) -> None:
    assert "No run is recorded yet" in bare.command("status").stdout
    run = bare.command("run")
    words = " ".join(run.stdout.split())
    assert run.returncode == 0, run.stderr
    assert NONE in words
    assert "nothing to publish: no mart is built" in words
    assert "(not yet)" in " ".join(bare.command("status").stdout.split())
    lineage = bare.command("lineage", "customers")
    assert lineage.returncode == 2
    assert "the catalog is empty" in lineage.stderr
    site = bare.data_dir / "site"
    assert bare.command("docs", "--out", str(site)).returncode == 0
    assert "nothing yet" in (site / "index.html").read_text(encoding="utf-8")


def test_a_load_of_nothing_and_unknown_sources_stay_errors(bare: Lab) -> None:
    with pytest.raises(SettingsError, match="no source is enabled"):
        bare.run("load")
    for steps in (("load",), ("load", "build", "publish")):
        with pytest.raises(SettingsError, match="--source nobody: not in the settings; known: -"):
            bare.run(*steps, sources=("nobody",))
