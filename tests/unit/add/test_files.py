"""All files of a new source are written, or none."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from headrace import file_changes, portable
from headrace.add import AddRequest, add_source
from headrace.add.files import find_tables
from headrace.errors import AddError, ProjectFileError
from headrace.settings import Resolved, resolve

REQUEST = AddRequest("crm", "rest_api", resource=("customers",))


@pytest.fixture
def project(tmp_path: Path) -> Resolved:
    return made(tmp_path)


def made(root: Path) -> Resolved:
    """The least that is a project."""
    (root / "config").mkdir(parents=True)
    (root / "dlt_pipelines").mkdir()
    (root / "config" / "default.yml").write_text("sources: {}\n")
    (root / "config" / "ci.yml").write_text("sources: {}\n")
    (root / ".env.example").write_text("# one\n")
    return resolve(root, environ={})


def tree(root: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(root)): path.read_bytes() if path.is_file() else b""
        for path in sorted(root.rglob("*"))
    }


@pytest.mark.parametrize("count", range(7))
@pytest.mark.parametrize("failure", [OSError(28, "No space left on device"), KeyboardInterrupt()])
def test_a_failure_halfway_leaves_nothing(
    project: Resolved, monkeypatch: pytest.MonkeyPatch, count: int, failure: BaseException
) -> None:
    before = tree(project.root)
    real, left = portable.write_file, [count]

    def fail(path: Path, content: bytes | str) -> None:
        left[0] -= 1
        if left[0] == -1:
            raise failure
        real(path, content)

    monkeypatch.setattr(portable, "write_file", fail)
    expected = ProjectFileError if isinstance(failure, OSError) else KeyboardInterrupt
    with pytest.raises(expected) as caught:
        add_source(project, REQUEST)
    assert tree(project.root) == before
    if expected is ProjectFileError:
        assert "No space left on device" in str(caught.value)
        assert "nothing was written" in str(caught.value)
    monkeypatch.setattr(portable, "write_file", real)
    assert len(add_source(project, REQUEST).files) == 7
    assert "\n  crm:\n    enabled: false\n" in (project.root / "config" / "ci.yml").read_text()


@pytest.mark.skipif(os.name == "nt", reason="modes of folders are those of POSIX")
@pytest.mark.parametrize("name", ["dlt_pipelines", "config/default.yml"])
def test_what_cannot_be_written_is_found_first(project: Resolved, name: str) -> None:
    before = tree(project.root)
    path = project.root / name
    mode = path.stat().st_mode
    path.chmod(0o555 if path.is_dir() else 0o444)
    try:
        with pytest.raises(ProjectFileError, match="nothing was written"):
            add_source(project, REQUEST)
    finally:
        path.chmod(mode)
    assert tree(project.root) == before


@pytest.mark.skipif(os.name == "nt", reason="symbolic links need a privilege there")
def test_a_folder_that_leads_away_is_refused(
    project: Resolved, tmp_path_factory: pytest.TempPathFactory
) -> None:
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    (project.root / "tests").symlink_to(elsewhere)
    with pytest.raises(ProjectFileError, match="points outside of"):
        add_source(project, REQUEST)
    assert not list(elsewhere.iterdir())


def test_a_file_in_the_place_of_a_folder(project: Resolved) -> None:
    (project.root / "tests").write_text("")
    with pytest.raises(ProjectFileError, match="is not a writable folder"):
        add_source(project, REQUEST)
    assert not (project.root / "dlt_pipelines" / "crm").exists()


@pytest.mark.parametrize("request_", [REQUEST, AddRequest("crm", "synth")])
@pytest.mark.parametrize("count", range(6))
def test_the_same_command_goes_on_after_a_kill(
    project: Resolved, request_: AddRequest, monkeypatch: pytest.MonkeyPatch, count: int
) -> None:
    real, left = portable.write_file, [count]

    def die(path: Path, content: bytes | str) -> None:
        left[0] -= 1
        if left[0] == -1:
            path.with_name(f".{path.name}.1.tmp").write_text("half")  # what `kill -9` leaves
            raise KeyboardInterrupt
        real(path, content)

    monkeypatch.setattr(portable, "write_file", die)
    monkeypatch.setattr(file_changes, "undo", lambda *_: None)
    with pytest.raises(KeyboardInterrupt):
        add_source(project, request_, load=False)
    monkeypatch.undo()
    report = add_source(project, request_, load=False)
    assert len(report.files) == (7 if request_ is REQUEST else 6) - count
    clean = made(project.root / "clean")
    add_source(clean, request_, load=False)
    expected = tree(clean.root)
    assert {name: content for name, content in tree(project.root).items() if name in expected} == (
        expected
    )


def test_files_of_another_source_are_left_alone(project: Resolved) -> None:
    add_source(project, REQUEST, load=False)
    (project.root / "config" / "default.yml").write_text("sources: {}\n")
    other = replace(REQUEST, resource=("orders",))
    with pytest.raises(AddError, match=r"^there is a tests/project/test_crm.py: take another name"):
        add_source(project, other)
    (project.root / "dlt_pipelines" / "crm" / "mine.py").write_text("")
    with pytest.raises(AddError, match=r"^there is a dlt_pipelines/crm: take another name"):
        add_source(project, REQUEST)


ROWS = "order_id,total,updated_at\n1,10,2024-01-01\n2,10,2024-01-02\n"


def write(folder: Path, *names: str, text: str = ROWS) -> None:
    for name in names:
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


@pytest.mark.parametrize(
    ("names", "patterns"),
    [
        (["orders.csv"], {"orders": "orders.csv"}),
        (["orders_2024-01-01.csv", "orders_2024-01-02.csv"], {"orders": "orders*.csv"}),
        (["orders1.csv", "orders-2.csv", "orders.csv"], {"orders": "orders*.csv"}),
        (["Sales Report 2024.csv"], {"sales_report": "Sales Report*.csv"}),
        (
            ["orders_1.csv", "orders_archive_1.csv"],
            {"orders": "orders[-_. ][0-9]*.csv", "orders_archive": "orders_archive*.csv"},
        ),
        (["a/orders.csv", "b/orders.csv"], {"orders": "a/orders.csv", "orders_2": "b/orders.csv"}),
        (["events/1.csv", "events/2.csv"], {"events": "events/*.csv"}),
        (["year=2023/a.csv", "year=2024/a.csv"], {"a": "*/a*.csv"}),
        (["2024.csv", "2025.csv"], {"in": "*.csv"}),
        (["x[1].csv", "x[2].csv"], {"x_1": "x[[]1].csv", "x_2": "x[[]2].csv"}),
        (["orders.csv", "orders.tsv"], {"orders": "orders.csv", "orders_2": "orders.tsv"}),
        (["orders.csv", "README.md", ".hidden.csv", ".x/a.csv"], {"orders": "orders.csv"}),
    ],
)
def test_names_without_their_dates_and_numbers(
    tmp_path: Path, names: list[str], patterns: dict[str, str]
) -> None:
    folder = tmp_path / "in"
    write(folder, *names)
    assert {table.name: table.pattern for table in find_tables(folder)} == patterns


def test_keys_and_cursors_have_their_reason(tmp_path: Path) -> None:
    write(tmp_path, "orders.csv")
    write(tmp_path, "events.csv", text="at,kind\n2024-01-01,a\n2024-01-02,b\n")
    write(tmp_path, "twice.csv", text="id,n\n1,a\n1,b\n")
    events, orders, twice = find_tables(tmp_path)
    assert (orders.primary_key, orders.cursor) == (("order_id",), "updated_at")
    assert orders.reasons == (
        "orders: the key is order_id, which differs in all 2 rows",
        "orders: the cursor is updated_at, by its name and type",
    )
    assert (events.primary_key, events.cursor, events.reasons) == ((), "", ())
    assert twice.primary_key == ()


def test_what_the_files_need_is_set_and_said(tmp_path: Path) -> None:
    write(tmp_path, "list.csv", text="Stock list\n\nsku,stock\nA,1\nB,2\n")
    (table,) = find_tables(tmp_path)
    assert table.settings == {"skip": 2}
    assert table.primary_key == ("sku",)
    assert "set `skip: 2`" in table.reasons[0]


def test_a_file_that_cannot_be_read_is_a_table_that_says_so(tmp_path: Path) -> None:
    write(tmp_path, "bad.parquet", text="nothing")
    (table,) = find_tables(tmp_path)
    assert table.reasons[0].startswith("bad: not read: bad.parquet")


def test_a_folder_without_files_is_refused(tmp_path: Path) -> None:
    for folder, told in ((tmp_path / "no", "is not a folder"), (tmp_path, "no file in")):
        with pytest.raises(AddError, match=told):
            find_tables(folder)
    write(tmp_path, *(f"{chr(97 + n % 26)}{chr(97 + n // 26)}.csv" for n in range(51)))
    with pytest.raises(AddError, match="51 names, more than 50 tables"):
        find_tables(tmp_path)


def test_full_exports_become_snapshots(tmp_path: Path) -> None:
    write(tmp_path, "orders_2024-01-01.csv", "orders_2024-01-02.csv")
    (table,) = find_tables(tmp_path)
    assert (table.primary_key, table.settings) == (("order_id",), {"write": "snapshot"})
    assert "each file is the whole table, with the key order_id" in table.reasons[0]
