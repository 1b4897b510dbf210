"""``headrace profile``: where a table is found, files, comparisons, pages, and what is refused."""

import json
from pathlib import Path

import duckdb
import pytest
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.errors import HeadraceError, ProfileError
from headrace.pipeline.quality import profile as service
from headrace.pipeline.quality.profile import profile
from headrace.settings import resolve


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("profile") / "it's [1].duckdb"
    with duckdb.connect(str(path)) as connection:
        for schema in ("marts", "raw"):
            connection.execute(f"create schema {schema}")
        connection.execute(
            "create table marts.customers as select i + 1 as customer_id, 'p' || i || "
            "'@example.org' as contact from range(60) r(i)"
        )
        connection.execute(
            "create table marts.orders as select i as order_id, 1 + i % 60 as customer_id, "
            "['new', 'paid'][1 + i % 2] as status, i % 5 * 1.5 as amount from range(300) r(i)"
        )
        connection.execute("create view raw.orders as select * from marts.orders where amount > 0")
    return path


def run(*arguments: str) -> tuple[str, str]:
    result = CliRunner().invoke(app, ["profile", *arguments])
    if result.exception is not None:
        raise result.exception
    return result.stdout, result.stderr


def test_a_table_of_any_database(shop: Path) -> None:
    report = profile(None, "marts.orders", on=str(shop))
    (table,) = report.tables
    assert (table.name, table.rows, table.keys) == ("marts.orders", 300, (("order_id",),))
    assert [one.table for one in table.references] == ["marts.customers"]
    assert (table.bytes or 0) > 0
    (other,) = profile(None, "CUSTOMERS", on=str(shop)).tables
    assert other.column("contact").personal is not None
    (view,) = profile(None, "raw.orders", on=str(shop)).tables
    assert (view.rows, view.bytes, view.keys) == (240, None, (("order_id",),))


@pytest.mark.parametrize(
    ("what", "on", "said"),
    [
        ("orders", "", "orders is marts.orders and raw.orders: name one of them"),
        ("order", "", "did you mean 'orders'"),
        ("xyz", "", "there are marts.customers, marts.orders, raw.orders"),
        ("orders", "none.duckdb", "no such file"),
        ("orders", "published", "needs a project"),
    ],
)
def test_a_table_that_is_not_meant(shop: Path, what: str, on: str, said: str) -> None:
    with pytest.raises(HeadraceError, match=said):
        profile(None, what, on=on or str(shop))


def test_without_a_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ProfileError, match="there is no project here: name a file, or --on"):
        run("orders")
    with pytest.raises(HeadraceError, match="no such file"):
        run("orders.csv")
    with pytest.raises(ProfileError, match="name a table or a file, or all tables by --all"):
        run()
    with pytest.raises(ProfileError, match="--compare takes a table or two files"):
        run("orders", "--compare", "a.csv", "b.csv", "--write-tests")
    (tmp_path / "broken.duckdb").write_bytes(b"x" * 5000)
    with pytest.raises(ProfileError, match=r"broken\.duckdb"):
        run("orders", "--on", "broken.duckdb")


def test_files_are_read_as_a_load_reads_them(tmp_path: Path) -> None:
    (tmp_path / "2024-01.csv").write_text("id;price;mail\n1;1,50;a@example.org\n2;2,50;\n")
    more = "id;price;mail\n3;9,00;b@example.org\n4;7,25;c@example.net\n"
    (tmp_path / "2024-02.csv").write_text(more)
    out, _ = run(str(tmp_path / "*.csv"), "--json")
    (table,) = json.loads(out)["tables"]
    assert (table["rows"], table["keys"][0]) == (4, ["id"])
    columns = {column["name"]: column for column in table["columns"]}
    assert "decimal comma" in table["notes"][0]
    assert columns["mail"]["personal"]["kind"] == "email"
    assert "example.net" not in out
    assert sorted(path.name for path in tmp_path.iterdir()) == ["2024-01.csv", "2024-02.csv"]


def test_on_a_terminal(shop: Path) -> None:
    out, _ = run("marts.orders", "--on", str(shop))
    lines = out.splitlines()
    assert max(map(len, lines)) <= 100
    assert lines[0].startswith("marts.orders  300 rows, 4 columns, ")
    assert "new 50%, paid 50%" in out
    assert "- every customer_id is one of marts.customers.customer_id" in lines
    out, _ = run("marts.customers", "--on", str(shop))
    assert "personal (email)" in out
    assert "@example.org" not in out


def test_a_comparison(shop: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.duckdb"
    with duckdb.connect(str(other)) as connection:
        connection.execute(f"attach '{str(shop).replace(chr(39), chr(39) * 2)}' as a")
        connection.execute(
            "create schema marts; create table marts.orders as select * replace (amount * 100 as "
            "amount), 1 as extra from a.marts.orders where order_id % 3 > 0"
        )
    out, _ = run("marts.orders", "--compare", str(shop), str(other))
    large = [line.split() for line in out.splitlines() if line.startswith("!")]
    assert ["!", "amount", "mean", "3", "300"] in large
    assert ["!", "extra", "column", "not", "there", "INTEGER"] in large
    assert large[0] == ["!", "rows", "300", "200"]
    same, _ = run("marts.orders", "--compare", str(shop), str(shop), "--json")
    assert json.loads(same)["changes"] == []


def test_a_page(shop: Path, tmp_path: Path) -> None:
    page = tmp_path / "orders.html"
    _, said = run("marts.orders", "--on", str(shop), "--html", str(page))
    text = page.read_text("utf-8")
    assert said == f"written to {page}\n"
    assert text.count("<rect") >= 20
    assert "Test the relationship." in text
    assert "http" not in text, "it needs nothing else"
    with pytest.raises(ProfileError, match="cannot be written"):
        run("marts.orders", "--on", str(shop), "--html", str(tmp_path / "no" / "a.html"))


def test_a_view_that_fails_is_said(tmp_path: Path) -> None:
    path = tmp_path / "shop.duckdb"
    with duckdb.connect(str(path)) as connection:
        connection.execute("create table t as select 'x' as a")
        connection.execute("create view numbers as select cast(a as int) as n from t")
    with pytest.raises(ProfileError, match=r"shop.duckdb: Conversion Error: .*'x'"):
        profile(None, "numbers", on=str(path))


def test_a_table_that_vanishes_is_named_and_the_others_are_profiled(
    shop: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = service.relations_of

    def with_one_more(connection: duckdb.DuckDBPyConnection, alias: str) -> list[object]:
        gone = service.DatabaseRelation("raw.gone", f'"{alias}"."raw"."gone"', False, ("id",))
        return [gone, *there(connection, alias)]

    monkeypatch.setattr(service, "relations_of", with_one_more)
    report = service.profile_all(resolve(tmp_path, environ={}), on=str(shop))
    assert [one.name for one in report.tables] == ["marts.customers", "marts.orders", "raw.orders"]
    (said,) = report.unread
    assert said.startswith("raw.gone: Catalog Error: Table with name gone does not exist")
    assert "\n" not in said
    with pytest.raises(ProfileError, match="gone does not exist"):
        profile(None, "gone", on=str(shop))


def test_a_file_of_any_size_is_profiled_in_little_memory(
    shop: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    limits = []
    one = service.profile_relation

    def noted(connection: duckdb.DuckDBPyConnection, *rest: object) -> object:
        row = connection.execute("select current_setting('memory_limit')").fetchone()
        limits.append(row[0] if row else None)
        return one(connection, *rest)  # type: ignore[arg-type]

    monkeypatch.setattr(service, "profile_relation", noted)
    profile(None, "marts.orders", on=str(shop))
    assert limits == ["488.2 MiB"]
