"""Whatever is wrong: one line that says what to change, and not a byte written."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from scaffold_bench import Bench, make_bench

from headrace import file_changes
from headrace.errors import ProjectError, ProjectFileError, ScaffoldError, UserError
from headrace.scaffold import scaffold


def refused(
    bench: Bench,
    *words: str,
    kind: type[UserError] | tuple[type[UserError], ...] = (ScaffoldError, ProjectFileError),
) -> str:
    """A scaffold that must not go; the message, in one line and with all the words."""
    before = bench.tree()
    with pytest.raises(kind) as caught:
        bench.scaffold()
    message = str(caught.value)
    assert [word for word in words if word not in message] == [], message
    assert "\n" not in message
    assert bench.tree() == before
    return message


@pytest.mark.parametrize(
    ("name", "words"),
    [
        ("stor", "did you mean 'store'"),
        ("orders", "known: storage, store"),
        ("../store", "is not a source"),
        ("", "is not a source"),
        ("storage", "`headrace load --source storage` first"),
    ],
)
def test_a_source_that_is_not_there(bench: Bench, name: str, words: str) -> None:
    before = bench.tree()
    with pytest.raises(ScaffoldError, match=re.escape(words)):
        scaffold(bench.resolved, name)
    assert bench.tree() == before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[: len(text) // 2],
        lambda text: "",
        lambda text: "[]",
        lambda text: text.replace('"engine_version": 11', '"engine_version": "x"'),
        lambda text: text.replace('"tables"', '"tabels"'),
    ],
    ids=["cut off", "empty", "a list", "no version", "no tables"],
)
def test_a_schema_that_cannot_be_read(bench: Bench, damage: Callable[[str], str]) -> None:
    path = bench.schema_path
    path.write_text(damage(path.read_text("utf-8")), encoding="utf-8")
    message = refused(bench, "store.schema.json", "`headrace load --source store`")
    assert "delete" in message


def test_a_schema_without_tables(bench: Bench) -> None:
    schema = bench.schema
    schema["tables"] = {name: t for name, t in schema["tables"].items() if name.startswith("_dlt")}
    bench.keep(schema)
    refused(bench, "has loaded no rows yet")


def test_no_dbt_project(bench: Bench) -> None:
    (bench.dbt / "dbt_project.yml").unlink()
    refused(bench, "holds no dbt_project.yml", "dbt.project_dir", kind=ProjectError)


def test_a_dbt_project_without_our_macro(bench: Bench) -> None:
    (bench.dbt / "macros" / "completed_loads.sql").unlink()
    refused(bench, "no macro completed_loads", "copy macros/completed_loads.sql")


def test_a_dbt_project_without_our_generic_test(bench: Bench) -> None:
    (bench.dbt / "tests" / "generic" / "unique_combination_of_columns.sql").unlink()
    (task,) = bench.scaffold().by_hand
    assert "test the key of visits" in task.what
    assert "unique_combination" not in bench.text("visits.yml")


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("models:\n\t- name: stg_store__orders\n", ":2: there is a tab"),
        ("models:\n  - name: stg_store__orders\n    name: b\n", ':3: found duplicate key "name"'),
        ("models: [{name: stg_store__orders\n", ":2: this is not YAML"),
        ("models:\n  - name: stg_store__orders\n    x: {{ y }}\n", ":3: "),
    ],
)
def test_a_broken_yml_of_the_user(done: Bench, text: str, words: str) -> None:
    done.path("orders.yml").write_text(text)
    done.add_column("orders", "coupon")
    refused(done, f"models/staging/store/stg_store__orders.yml{words}", "nothing was written")


def test_a_broken_yml_that_has_nothing_to_do_with_the_source(done: Bench) -> None:
    (done.dbt / "models" / "mine.yml").write_text("models: [\n")
    assert done.scaffold().changes == ()


def test_a_file_that_is_not_utf_8(done: Bench) -> None:
    done.path("orders.sql").write_bytes("größe".encode("latin-1"))
    refused(done, "stg_store__orders.sql is not UTF-8 (byte 2)")


def test_a_read_only_file(done: Bench) -> None:
    done.path("orders.yml").chmod(0o444)
    done.add_column("orders", "coupon")
    refused(done, "stg_store__orders.yml is read-only", "chmod u+w")


def test_a_file_where_the_folder_should_be(bench: Bench) -> None:
    (bench.dbt / "models" / "staging").write_text("mine")
    refused(bench, "staging is not a writable folder")


def test_nothing_is_written_outside_the_dbt_project(bench: Bench, tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (bench.dbt / "models" / "staging").symlink_to(outside, target_is_directory=True)
    refused(bench, "points outside of")
    assert list(outside.iterdir()) == []


def test_model_paths_outside_are_not_written_to(bench: Bench) -> None:
    path = bench.dbt / "dbt_project.yml"
    path.write_text(path.read_text().replace("model-paths: [models]", "model-paths: [../above]"))
    refused(bench, "points outside of")


def test_a_merge_conflict_in_the_record(done: Bench) -> None:
    done.edit("lock", '["model", "orders"]\n', '<<<<<<< ours\n["model", "orders"]\n=======\n')
    refused(done, "_store__scaffold.lock:", "a merge conflict?")


def test_two_records(done: Bench) -> None:
    shutil.copy(done.path("lock"), done.dbt / "models")
    refused(done, "models/_store__scaffold.lock and models/staging/store/_store__scaffold.lock")


def test_a_declaration_that_the_user_deleted(done: Bench) -> None:
    done.path("sources").unlink()
    refused(done, "no yml of the dbt project declares the source store any more")


def test_files_of_our_names_that_are_somebody_elses(bench: Bench) -> None:
    bench.folder.mkdir(parents=True)
    bench.path("orders.sql").write_text("select 1 as one")
    report = bench.scaffold()
    assert bench.text("orders.sql") == "select 1 as one"
    (task,) = report.by_hand
    assert "stg_store__orders.sql exists and does not read orders" in task.what

    other = make_bench(bench.root / "other")
    other.folder.mkdir(parents=True)
    other.path("sources").write_text("models: []\n")
    refused(other, "_store__sources.yml exists and declares no source store")


def test_names_that_jinja_would_read_are_left_out(bench: Bench) -> None:
    bench.add_column("orders", "{{ drop }}")
    bench.add_column("orders", "line\nbreak")
    report = bench.scaffold()
    assert sum("jinja would read its name" in task.what for task in report.by_hand) == 2
    assert "drop" not in bench.text("orders.sql") + bench.text("orders.yml")


def test_what_changes_while_it_runs_is_not_overwritten(
    done: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done.add_column("orders", "coupon")
    check = file_changes.check

    def edit_late(root: Path, texts: dict[Path, str]) -> None:
        check(root, texts)
        done.path("orders.yml").write_text("# the user saves just now\n")

    monkeypatch.setattr(file_changes, "check", edit_late)
    sources = done.text("sources")
    with pytest.raises(ProjectFileError, match=r"orders.yml was changed meanwhile"):
        done.scaffold()
    assert done.text("orders.yml") == "# the user saves just now\n"
    assert done.text("sources") == sources


def test_a_full_disk_leaves_every_file_as_it_was(
    done: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    done.add_column("orders", "coupon")
    before = done.tree()
    real = Path.write_bytes

    def full(path: Path, data: bytes) -> int:
        if "orders.yml" in path.name:
            real(path, data[:10])
            raise OSError(28, "No space left on device")
        return real(path, data)

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(ProjectFileError, match=r"orders.yml cannot be written \(No space left"):
        done.scaffold()
    monkeypatch.undo()
    assert {name: content for name, (content, _) in done.tree().items()} == {
        name: content for name, (content, _) in before.items()
    }
    done.scaffold()
    assert "- name: coupon" in done.text("orders.yml")
    assert done.scaffold().changes == ()
