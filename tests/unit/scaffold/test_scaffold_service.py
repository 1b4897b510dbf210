"""A scaffold of a real schema: written first, added to later, and what is never touched."""

import difflib
import json
import re

import pytest
from ruamel.yaml import YAML
from scaffold_bench import Bench

from headrace.scaffold import ScaffoldReport


def changes(report: ScaffoldReport) -> dict[str, str]:
    """The status of each file that was written, by its short name."""
    return {
        file.path.rpartition("/")[2].removeprefix("stg_store__"): file.status
        for file in report.changes
    }


def added(before: str, after: str) -> list[str]:
    """The lines that are new; asserts that all others are as they were, in their order."""
    found = list(difflib.ndiff(before.splitlines(keepends=True), after.splitlines(keepends=True)))
    assert [line for line in found if line.startswith("-")] == []
    return [line[2:].strip() for line in found if line.startswith("+")]


def columns(bench: Bench, name: str) -> list[str]:
    (model,) = YAML(typ="safe").load(bench.text(name))["models"]
    return [column["name"] for column in model["columns"]]


# ── the first time ───────────────────────────────────────────────────────────


def test_a_first_scaffold_writes_everything_once(bench: Bench) -> None:
    report = bench.scaffold()

    tables = ["clicks", "clicks__params", "orders", "orders__lines", "orders__lines__discounts"]
    tables += ["orders__tags", "visits"]
    models = {f"{table}.{kind}": "added" for table in tables for kind in ("sql", "yml")}
    sources = {"_store__sources.yml": "added", "_store__scaffold.lock": "added"}
    assert changes(report) == models | sources
    assert report.tables == len(tables)
    assert (report.vanished, report.by_hand, report.left_out) == ((), (), ())
    assert {path.name for path in bench.folder.iterdir()} == {
        file.path.rpartition("/")[2] for file in report.files
    }


def test_a_second_scaffold_writes_nothing(done: Bench) -> None:
    before = done.tree()
    report = done.scaffold()
    assert report.changes == ()
    assert done.tree() == before


def test_a_dry_run_shows_what_a_run_writes(bench: Bench) -> None:
    before = bench.tree()
    promised = bench.scaffold(dry_run=True)
    assert bench.tree() == before
    assert bench.scaffold().files == promised.files
    (sql,) = (file for file in promised.files if file.path.endswith("__visits.sql"))
    assert sql.diff.startswith(
        "--- /dev/null\n+++ b/models/staging/store/stg_store__visits.sql\n@@ -0,0 +1,"
    )
    body = [line[1:] for line in sql.diff.splitlines()[3:]]
    assert "\n".join(body) + "\n" == bench.text("visits.sql")


def test_a_model_in_the_houses_style(done: Bench) -> None:
    assert (
        done.text("orders.sql")
        == """\
with

source as (
    select * from {{ source('store', 'orders') }}
),

completed_loads as (
    {{ completed_loads('store') }}
),

final as (
    select
        id as order_id,
        customer__id,
        _dlt_id,
        "group" as order_group,
        customer__name,
        "order" as order_order,
        total_amount,
        active as is_active,
        created as created_at
    from source
    where _dlt_load_id in (select completed_loads.load_id from completed_loads)
)

select * from final
"""
    )


def test_a_grandchild_is_read_by_its_parents_of_completed_loads(done: Bench) -> None:
    text = done.text("orders__lines__discounts.sql")
    assert re.findall(r"from \{\{ source\('store', '(\w+)'\)", text) == [
        "orders__lines__discounts",
        "orders",
        "orders__lines",
    ]
    assert "where _dlt_parent_id in (select root_rows._dlt_id from root_rows)" in text
    assert "where _dlt_parent_id in (select parent_rows._dlt_id from parent_rows)" in text


def test_keys_and_parents_are_tested(done: Bench) -> None:
    def tests(name: str) -> dict[str, object]:
        (model,) = YAML(typ="safe").load(done.text(name))["models"]
        found = {c["name"]: c["data_tests"] for c in model["columns"] if "data_tests" in c}
        return found | ({"": model["data_tests"]} if "data_tests" in model else {})

    assert tests("orders.yml") == {
        "order_id": ["unique", "not_null"],
        "_dlt_id": ["unique", "not_null"],
    }
    combination = {"unique_combination_of_columns": {"arguments": {"columns": ["day", "city"]}}}
    assert tests("visits.yml") == {"": [combination], "day": ["not_null"], "city": ["not_null"]}
    parent = {"to": "ref('stg_store__orders__lines')", "field": "_dlt_id"}
    assert tests("orders__lines__discounts.yml") == {
        "_dlt_id": ["unique", "not_null"],
        "_dlt_parent_id": ["not_null", {"relationships": {"arguments": parent}}],
        "_dlt_list_idx": ["not_null"],
    }


def test_a_key_that_is_appended_is_no_key(bench: Bench) -> None:
    bench.hint("clicks", "url", primary_key=True, nullable=False)
    bench.scaffold()
    text = bench.text("clicks.yml")
    assert "One row per row that dlt loaded into `clicks`." in text
    url = text.split("- name: url")[1]
    assert "not_null" in url
    assert "unique" not in url


def test_nothing_is_passed_off_as_a_description(bench: Bench) -> None:
    bench.hint("orders", "customer__name", description="Who ordered: the 'name' #1, in full.")
    bench.hint("orders", "customer__id", description="{{ doc('x') }}")
    report = bench.scaffold()
    text = bench.text("orders.yml")
    assert """description: "Who ordered: the 'name' #1, in full."\n""" in text
    assert "doc(" not in text
    words = 'description: ""  # to be described'
    everywhere = sum(path.read_text().count(words) for path in bench.folder.glob("*.yml"))
    assert everywhere == len(report.without_description) == 30
    assert "models/staging/store/stg_store__orders.yml: column customer__id" in (
        report.without_description
    )


def test_tables_and_columns_that_never_held_a_value_have_no_model(bench: Bench) -> None:
    schema = bench.schema
    schema["tables"]["visits"]["x-normalizer"] = {}
    schema["tables"]["orders"]["columns"]["hoped_for"] = {"name": "hoped_for", "nullable": True}
    schema["tables"]["_quarantine"] = dict(schema["tables"]["clicks"]) | {"name": "_quarantine"}
    bench.keep(schema)
    assert bench.scaffold().tables == 6
    written = "".join(path.read_text() for path in bench.folder.iterdir())
    assert "hoped_for" not in written
    assert "visits" not in written.replace("  - name: visits\n            desc", "")
    assert "_quarantine" not in written


# ── again, after the schema changed ──────────────────────────────────────────


def test_a_new_column_is_added_to_all_three_files(done: Bench) -> None:
    before = {name: done.text(name) for name in ("sources", "orders.sql", "orders.yml")}
    done.add_column("orders", "shipped", "timestamp", nullable=False)
    done.add_column("orders", "coupon")

    report = done.scaffold()

    assert changes(report) == {
        "_store__scaffold.lock": "changed",
        "_store__sources.yml": "changed",
        "orders.sql": "changed",
        "orders.yml": "changed",
    }
    empty = 'description: ""  # to be described'
    last = f"          - name: customer__id\n            {empty}\n"
    new = [f"          - name: {name}\n            {empty}\n" for name in ("shipped", "coupon")]
    assert done.text("sources") == before["sources"].replace(last, "".join([last, *new]))
    assert done.text("orders.sql") == before["orders.sql"].replace(
        "        customer__name,\n", "        customer__name,\n        coupon,\n"
    ).replace("as created_at\n", "as created_at,\n        shipped as shipped_at\n")
    coupon = f"      - name: coupon\n        {empty}\n"
    shipped = (
        f"      - name: shipped_at\n        {empty}\n        data_tests:\n          - not_null\n"
    )
    order = "      - name: order_order\n"
    assert done.text("orders.yml") == (
        before["orders.yml"].replace(order, coupon + order) + shipped
    )
    assert columns(done, "orders.yml")[4:] == [
        *("customer__name", "coupon", "order_order", "total_amount", "is_active", "created_at"),
        "shipped_at",
    ]
    assert done.scaffold().changes == ()


def test_new_child_tables_are_added(done: Bench) -> None:
    before = done.text("sources")
    done.add_child("orders__lines__discounts", "reasons")
    done.add_child("visits", "guests")

    report = done.scaffold()

    new = ("orders__lines__discounts__reasons", "visits__guests")
    models = {f"{table}.{kind}": "added" for table in new for kind in ("sql", "yml")}
    both = {"_store__sources.yml": "changed", "_store__scaffold.lock": "changed"}
    # a table that has children now shows its row's id
    visits = {"visits.sql": "changed", "visits.yml": "changed"}
    assert changes(report) == models | both | visits
    assert [line for line in added(before, done.text("sources")) if "guests" in line]
    assert "to: ref('stg_store__visits')" in done.text("visits__guests.yml")
    assert "level_1_rows" in done.text("orders__lines__discounts__reasons.sql")
    assert done.scaffold().changes == ()


def test_a_key_that_is_declared_later_is_tested(done: Bench) -> None:
    done.edit("clicks.yml", "      - name: url\n", "      - name: url # where\n")
    before = done.text("clicks.yml")
    schema = done.schema
    schema["tables"]["clicks"]["write_disposition"] = "merge"
    schema["tables"]["clicks"]["columns"]["url"] |= {"primary_key": True, "nullable": False}
    done.keep(schema)
    done.scaffold()
    assert added(before, done.text("clicks.yml")) == ["data_tests:", "- unique", "- not_null"]


def test_what_vanished_is_pointed_at_and_left(done: Bench) -> None:
    done.drop_column("orders", "customer__name")
    schema = done.schema
    del schema["tables"]["visits"]
    done.keep(schema)
    before = done.tree()

    report = done.scaffold()

    assert done.tree() == before
    assert report.changes == ()
    found = {(item.table, item.column): item.places for item in report.vanished}
    assert set(found) == {("orders", "customer__name"), ("visits", None)}
    for (_, column), places in found.items():
        for place in places:
            path, _, line = place.rpartition(":")
            text = (done.dbt / path).read_text().splitlines()[int(line) - 1]
            assert (column or "visits") in text, place
    kinds = [
        place.rpartition("/")[2].partition(":")[0] for place in found["orders", "customer__name"]
    ]
    assert kinds == ["_store__sources.yml", "stg_store__orders.sql"]


def test_what_vanished_and_was_removed_is_new_when_it_comes_back(done: Bench) -> None:
    kept = done.schema
    done.drop_column("visits", "visits")
    for name, words in (
        ("sources", '          - name: visits\n            description: ""  # to be described\n'),
        ("visits.yml", '      - name: visits\n        description: ""  # to be described\n'),
        ("visits.sql", ",\n        visits\n"),
    ):
        done.edit(name, words, "\n" if name.endswith("sql") else "")
    assert done.scaffold().vanished == ()
    done.keep(kept)
    report = done.scaffold()
    assert {"visits.sql", "visits.yml"} <= changes(report).keys()


# ── what the user did in between ─────────────────────────────────────────────


def test_what_was_removed_stays_removed(done: Bench) -> None:
    done.edit("orders.sql", "        customer__name,\n", "")
    done.edit(
        "orders.yml",
        '      - name: customer__name\n        description: ""  # to be described\n',
        "",
    )
    done.edit(
        "sources",
        '          - name: customer__name\n            description: ""  # to be described\n',
        "",
    )
    done.edit(
        "orders__tags.yml",
        "          - not_null\n          - relationships",
        "          - relationships",
    )
    done.path("visits.sql").unlink()
    done.path("visits.yml").unlink()
    done.path("clicks.yml").unlink()
    before = done.tree()
    assert done.scaffold().changes == ()
    assert done.tree() == before


def test_a_renamed_column_a_moved_model_and_new_tests_are_recognised(done: Bench) -> None:
    done.edit("orders.sql", "customer__name", "customer__name as buyer")
    done.edit(
        "orders.yml",
        'customer__name\n        description: ""  # to be described',
        "buyer\n        description: Who pays.",
    )
    marts = done.dbt / "models" / "elsewhere"
    marts.mkdir()
    done.path("orders.sql").rename(marts / "purchases.sql")
    text = done.text("orders.yml").replace("stg_store__orders", "purchases")
    (marts / "all.yaml").write_text(f"# mine\n{text}")
    done.path("orders.yml").unlink()
    done.add_column("orders", "coupon")
    done.hint("orders", "customer__name", nullable=False)

    report = done.scaffold()

    assert not done.path("orders.sql").exists()
    assert {file.path for file in report.changes} >= {
        "models/elsewhere/purchases.sql",
        "models/elsewhere/all.yaml",
    }
    assert (
        "        customer__name as buyer,\n        coupon,\n"
        in (marts / "purchases.sql").read_text()
    )
    (model,) = YAML(typ="safe").load(marts / "all.yaml")["models"]
    by_name = {column["name"]: column for column in model["columns"]}
    assert by_name["buyer"] == {
        "name": "buyer",
        "description": "Who pays.",
        "data_tests": ["not_null"],
    }
    assert by_name["coupon"] == {"name": "coupon", "description": ""}
    assert done.scaffold().changes == ()


def test_a_model_of_another_shape_is_left_until_the_user_has_read_the_column(done: Bench) -> None:
    done.edit("orders.sql", "    from source\n", "    from source\n    left join b using (x)\n")
    done.add_column("orders", "coupon")
    before = done.text("orders.sql"), done.text("orders.yml")
    for _ in range(2):
        (task,) = done.scaffold().by_hand
        assert (task.path, task.line) == ("models/staging/store/stg_store__orders.sql", "coupon,")
        assert (done.text("orders.sql"), done.text("orders.yml")) == before

    done.edit(
        "orders.sql", "        total_amount,\n", "        total_amount,\n        coupon, -- 5 %\n"
    )
    assert done.scaffold().by_hand == ()


def test_a_comment_leaves_a_column_out(done: Bench) -> None:
    done.edit(
        "orders.sql",
        "    from source\n",
        "    from source -- without coupon\n    inner join b on true\n",
    )
    done.add_column("orders", "coupon")
    report = done.scaffold()
    assert report.by_hand == ()
    assert changes(report).keys() == {"_store__sources.yml", "_store__scaffold.lock"}


def test_select_star_needs_no_new_line_of_sql(done: Bench) -> None:
    text = done.text("orders.sql")
    start, end = text.index("        id as"), text.index("    from source")
    done.path("orders.sql").write_text(f"{text[:start]}        *\n{text[end:]}")
    done.add_column("orders", "coupon")
    assert changes(done.scaffold()) == {
        "orders.yml": "changed",
        "_store__sources.yml": "changed",
        "_store__scaffold.lock": "changed",
    }
    assert "coupon" in columns(done, "orders.yml")


def test_a_name_that_the_user_gave_away_is_not_given_twice(done: Bench) -> None:
    done.edit("orders.sql", "created as created_at", "created as coupon")
    done.add_column("orders", "coupon")
    (task,) = done.scaffold().by_hand
    assert task.line == "coupon,"


def test_a_list_in_brackets_is_left_to_the_user(done: Bench) -> None:
    done.path("orders.yml").write_text(
        "models:\n  - name: stg_store__orders\n    columns: [{name: order_id}]\n"
    )
    done.add_column("orders", "coupon")
    (task,) = done.scaffold().by_hand
    assert task.path == "models/staging/store/stg_store__orders.yml"
    assert task.line is not None
    assert task.line.startswith("- name: coupon\n")
    assert "        coupon,\n" in done.text("orders.sql")


def test_crlf_stays(done: Bench) -> None:
    for name in ("orders.sql", "orders.yml", "sources"):
        done.path(name).write_bytes(done.text(name).replace("\n", "\r\n").encode())
    done.add_column("orders", "coupon")
    report = done.scaffold()
    assert {"orders.sql", "orders.yml", "_store__sources.yml"} <= changes(report).keys()
    for name in ("orders.sql", "orders.yml", "sources"):
        text = done.text(name)
        assert text.count("\n") == text.count("\r\n")


def test_a_parent_that_hides_its_row_id_is_tested_in_the_raw_table(done: Bench) -> None:
    done.edit("orders.sql", "        _dlt_id,\n", "")
    done.add_child("orders", "notes")
    done.scaffold()
    assert "to: source('store', 'orders')" in done.text("orders__notes.yml")


def test_two_models_of_one_table_are_for_the_user(done: Bench) -> None:
    done.path("orders.sql").rename(done.folder / "purchases.sql")
    (done.folder / "sales.sql").write_text((done.folder / "purchases.sql").read_text())
    done.add_column("orders", "coupon")
    (task,) = done.scaffold().by_hand
    assert "several models read orders" in task.what


# ── a project that was written by hand ───────────────────────────────────────


def by_hand(bench: Bench, *, tables: str = "") -> None:
    bench.folder.mkdir(parents=True)
    (bench.dbt / "models" / "all_sources.yml").write_text(
        "# ours\nsources:\n  - name: other\n    tables: [{name: a}]\n  - name: store\n"
        f"    schema: store_raw\n{tables}"
    )


TABLES = """\
    tables:
      - name: purchases   # what the shop calls orders
        identifier: orders
        columns:
          - name: id
      - name: _dlt_loads
"""
SQL = """\
select id, group as kind from {{ source("store", "purchases") }}
where _dlt_load_id in ({{ completed_loads('store') }})
"""


def test_a_hand_written_source_is_found_wherever_it_stands(bench: Bench) -> None:
    by_hand(bench, tables=TABLES)
    (bench.folder / "my_orders.sql").write_text(SQL)
    before = (bench.dbt / "models" / "all_sources.yml").read_text()

    report = bench.scaffold()

    after = (bench.dbt / "models" / "all_sources.yml").read_text()
    added(before, after)
    _, source = YAML(typ="safe").load(after)["sources"]
    names = [table["name"] for table in source["tables"]]
    assert names[0] == "purchases"
    assert names[-1] == "_dlt_loads"
    assert len(names) == 8
    assert not bench.path("sources").exists()
    assert (bench.folder / "my_orders.sql").read_text() == SQL
    (left,) = report.left_out
    assert left.path == "models/staging/store/my_orders.sql"
    assert "total_amount" in left.columns
    assert "group" not in left.columns
    assert not bench.path("orders.sql").exists()
    assert "from {{ source('store', 'purchases') }}" in bench.text("orders__lines.sql")
    assert "to: source('store', 'purchases')" in bench.text("orders__lines.yml")
    again = bench.scaffold()
    assert (again.changes, again.left_out) == ((), ())


@pytest.mark.parametrize("tables", ["", "    tables:\n      - name: visits\n"])
def test_a_declared_source_without_its_tables_gets_them(bench: Bench, tables: str) -> None:
    by_hand(bench, tables=tables)
    bench.scaffold()
    _, source = YAML(typ="safe").load(bench.dbt / "models" / "all_sources.yml")["sources"]
    names = {table["name"] for table in source["tables"]}
    assert names == {*(t for t in bench.schema["tables"] if "_dlt" not in t), "_dlt_loads"}


def test_a_source_in_two_files_is_one_source(bench: Bench) -> None:
    by_hand(
        bench, tables="    tables:\n      - name: visits\n        columns:\n          - name: day\n"
    )
    other = bench.dbt / "models" / "second.yml"
    other.write_text(
        "sources:\n  - name: store\n    tables:\n      - name: clicks\n      - name: _dlt_loads\n"
    )
    bench.scaffold()
    found = [
        table["name"]
        for path in (other, bench.dbt / "models" / "all_sources.yml")
        for source in YAML(typ="safe").load(path)["sources"]
        if source["name"] == "store"
        for table in source["tables"]
    ]
    assert len(found) == len(set(found)) == 8
    assert bench.scaffold().changes == ()


def test_the_record_survives_a_merge_of_two_branches(done: Bench) -> None:
    base = done.text("lock").splitlines()
    done.add_column("visits", "guide")
    done.scaffold()
    ours = set(done.text("lock").splitlines()) - set(base)
    assert ours == {
        json.dumps(["source column", "visits", "guide"]),
        json.dumps(["model column", "visits", "guide"]),
    }
    # theirs added a table; a merge of lines leaves them in any order
    theirs = json.dumps(["table", "gone"])
    done.path("lock").write_text("\n".join([*base[:3], theirs, *sorted(ours), *base[3:]]) + "\n")
    assert done.scaffold().by_hand == ()


def test_a_line_that_is_deleted_from_the_record_is_offered_again(done: Bench) -> None:
    done.edit("visits.sql", ",\n        visits\n", "\n")
    done.edit(
        "visits.yml", '      - name: visits\n        description: ""  # to be described\n', ""
    )
    done.edit("lock", '["model column", "visits", "visits"]\n', "")
    assert {"visits.sql", "visits.yml"} <= changes(done.scaffold()).keys()
    assert columns(done, "visits.yml") == ["day", "city", "visits"]
