"""Contracts: which files are read, what is kept of them, and which promises hold."""

from pathlib import Path
from typing import Any

import duckdb
import pytest
from ruamel.yaml import YAML

from headrace.errors import ContractError
from headrace.quality.contract import ContractCheck, check_contract, read_contract
from headrace.quality.contract.checks import ContractTable
from headrace.quality.contract.document import Contract, written
from headrace.quality.contract.export import logical_type

HEAD = {"apiVersion": "v3.1.0", "kind": "DataContract", "id": "x", "name": "orders",
        "version": "1.0.0", "status": "active"}  # fmt: skip
ROWS = """\
create table t as select
    i as id, 'A-' || i as code, i * 10 as amount, nullif(i, 3) as maybe,
    ['new', 'paid'][1 + i % 2] as status, timestamptz '2024-01-01' + interval (i) day as at,
    now() - interval (i) minute as seen_at
from range(1, 9) as rows(i)
"""


AWKWARD = {
    "empty": "select 1 as id, 1.5 as amount, timestamp '2026-01-01' as at where false",
    "all null": "select null::int as id, null::double as amount, null::timestamp as at",
    "not finite": "select 1 as id, 'nan'::double as amount, 'infinity'::timestamp as at",
    "in the future": "select 1 as id, 1.5 as amount, timestamp '2999-01-01' as at",
    "nested": "select {'a': 1} as id, 'x'::blob as amount, timestamp '2026-01-01' as at",
    "ids of 20 digits": "select 12345678901234567890::hugeint + i as id, 'inf'::double as amount, "
    "'-infinity'::timestamp as at from range(30) r(i)",
}


def contract(folder: Path, **more: Any) -> Contract:
    path = folder / "orders.yaml"
    with path.open("w") as file:
        YAML(typ="safe", pure=True).dump({**HEAD, **more}, file)
    return read_contract(path)


def checks(
    folder: Path,
    column: dict[str, Any] | None = None,
    *,
    seconds: float = 60,
    rows: str = ROWS,
    **more: Any,
) -> tuple[ContractCheck, ...]:
    """What a contract with one column, or with what is given, finds in the rows."""
    table = {"name": "t", **more.pop("table", {})}
    if column is not None:
        table["properties"] = [column]
    found = contract(folder, schema=[table], **more)
    with duckdb.connect() as connection:
        connection.execute("set TimeZone = 'UTC'")
        connection.execute(rows)
        connection.execute("create table others as select 1 as id")
        described = connection.execute("describe t").fetchall()
        tested = ContractTable("main.t", "t", {str(row[0]): str(row[1]) for row in described})

        def resolve(to: str) -> tuple[str, str] | None:
            return ("others", "id") if to == "others.id" else None

        return check_contract(found, connection, lambda _: tested, seconds=seconds, resolve=resolve)


def rule(**more: Any) -> dict[str, Any]:
    return {"quality": [{"name": "r", **more}]}


@pytest.mark.parametrize(
    ("column", "broken"),
    [
        ({"name": "id", "logicalType": "integer"}, None),
        ({"name": "code", "logicalType": "integer"}, "the type is VARCHAR, promised integer"),
        ({"name": "id", "physicalType": "bigint"}, None),
        ({"name": "id", "physicalType": "date"}, "the type is BIGINT, promised date"),
        ({"name": "at", "logicalType": "timestamp", "physicalType": "SomethingOfSnowflake"}, None),
        ({"name": "gone"}, "the column is missing"),
        ({"name": "id", "required": True}, None),
        ({"name": "maybe", "required": True}, "1 null"),
        ({"name": "id", "unique": True, "primaryKey": True}, None),
        ({"name": "status", "unique": True}, "2 repeated values"),
        ({"name": "status", "primaryKey": True}, "2 repeated keys"),
        ({"name": "status", "enum": [{"value": "new"}, {"value": "paid"}]}, None),
        ({"name": "status", "enum": [{"value": "new"}]}, "4 other values"),
        ({"name": "amount", "logicalTypeOptions": {"minimum": 10, "maximum": 80}}, None),
        ({"name": "amount", "logicalTypeOptions": {"exclusiveMinimum": 10}}, "1 row beyond it"),
        ({"name": "code", "logicalTypeOptions": {"pattern": "^A-[0-9]$", "maxLength": 3}}, None),
        ({"name": "code", "logicalTypeOptions": {"pattern": "^B"}}, "8 rows beyond it"),
        ({"name": "id", "relationships": [{"to": "others.id"}]}, "7 rows without one"),
        ({"name": "maybe", **rule(metric="nullValues", mustBeLessThan=2)}, None),
        ({"name": "maybe", **rule(metric="nullValues", unit="percent", mustBe=0)},
         "it is 12.5%, promised 0%"),
        ({"name": "maybe", **rule(rule="nullCheck")}, "it is 1, promised 0"),
        ({"name": "status", **rule(metric="duplicateValues", mustBeBetween=[6, 6])}, None),
        ({"name": "status", **rule(metric="invalidValues", mustBe=0,
                                   arguments={"validValues": ["new"]})}, "it is 4, promised 0"),
        ({"name": "status", **rule(metric="missingValues", mustBeGreaterThan=4,
                                   arguments={"missingValues": ["new", None]})},
         "it is 4, promised more than 4"),
        ({"name": "amount", **rule(type="sql", mustBe=80,
                                   query="select max(${property}) from ${object}")}, None),
        ({"name": "amount", **rule(type="sql", mustNotBeBetween=[1, 100],
                                   query="select max({column}) from {table};")},
         "it is 80, promised not 1 to 100"),
    ],
)  # fmt: skip
def test_promises_of_a_column(tmp_path: Path, column: dict[str, Any], broken: str | None) -> None:
    found = [one for one in checks(tmp_path, column) if one.status != "pass"]
    assert [(one.status, one.said) for one in found] == ([("fail", broken)] if broken else [])


@pytest.mark.parametrize(
    ("table", "status", "said"),
    [
        (rule(metric="rowCount", mustBe=8), "pass", ""),
        (rule(metric="rowCount"), "pass", ""),
        (rule(metric="rowCount", mustBeGreaterOrEqualTo=1_000_000), "fail",
         "it is 8, promised at least 1,000,000"),
        (rule(metric="rowCount", mustBe=9, severity="warning"), "warn", "it is 8, promised 9"),
        (rule(metric="duplicateValues", arguments={"properties": ["STATUS"]}), "fail",
         "it is 6, promised 0"),
        (rule(metric="duplicateValues", arguments={"properties": ["gone"]}), "skipped",
         "the metric duplicateValues is not known"),
        (rule(metric="colour"), "skipped", "the metric colour is not known"),
        (rule(type="text", description="it is good"), "skipped", "of kind text: not run here"),
        (rule(type="custom", engine="soda", implementation="x"), "skipped",
         "of kind custom (soda): not run here"),
        (rule(type="sql", query="select 1"), "skipped",
         "it says nothing of what must be: give mustBe, mustBeBetween, ..."),
        (rule(type="sql", query="select null", mustBe=1), "fail",
         "there is no value, promised 1"),
        (rule(type="sql", query="select 'x'", mustBe=1), "error", "the query gives no number"),
    ],
)  # fmt: skip
def test_promises_of_a_table(tmp_path: Path, table: dict[str, Any], status: str, said: str) -> None:
    (found,) = checks(tmp_path, table=table)
    assert (found.status, found.said) == (status, said)


def test_broken_sql_is_told_in_one_line(tmp_path: Path) -> None:
    (found,) = checks(tmp_path, table=rule(type="sql", query="select * from nowhere", mustBe=0))
    assert found.status == "error"
    assert "nowhere" in found.said
    assert "\n" not in found.said


def test_sql_that_never_ends_is_stopped_and_the_others_go_on(tmp_path: Path) -> None:
    endless = "select count(*) from range(1000000000000) a, range(1000000) b"
    rules = [
        {"type": "sql", "query": endless, "mustBe": 0},
        {"metric": "rowCount", "mustBe": 8},
    ]
    first, second = checks(tmp_path, table={"quality": rules}, seconds=0.3)
    assert (first.status, "took too long" in first.said) == ("error", True)
    assert second.name == "rowCount"


@pytest.mark.parametrize(
    ("promise", "status", "said"),
    [
        ({"property": "latency", "value": 1, "unit": "h", "element": "t.seen_at"}, "pass", ""),
        ({"property": "latency", "value": 4, "unit": "d", "element": "t.at"}, "warn",
         "the newest is of 2024-01-09 00:00 UTC, promised within 4 days"),
        ({"property": "freshness", "value": 1, "unit": "day", "element": "at",
          "customProperties": [{"property": "severity", "value": "error"}]}, "fail",
         "the newest is of 2024-01-09 00:00 UTC, promised within 1 day"),
        ({"property": "retention", "value": 99, "unit": "y", "element": "t.at"}, "pass", ""),
        ({"property": "retention", "value": 1, "unit": "y", "element": "t.at"}, "warn",
         "the oldest is of 2024-01-02 00:00 UTC, promised within 1 year"),
        ({"property": "latency", "value": 1, "unit": "d"}, "skipped",
         "it names no element: name the column with the time, as orders.ordered_at"),
        ({"property": "latency", "value": "soon", "element": "t.at"}, "skipped",
         "its value or unit cannot be read: write value: 4 and unit: h"),
        ({"property": "latency", "value": 1, "element": "t.gone"}, "fail",
         "the column is missing"),
    ],
)  # fmt: skip
def test_freshness_and_retention(
    tmp_path: Path, promise: dict[str, Any], status: str, said: str
) -> None:
    (found,) = checks(tmp_path, slaProperties=[promise])
    assert (found.status, found.said) == (status, said)


@pytest.mark.parametrize(
    ("rows", "statuses"),
    [
        ("empty", ("pass", "pass", "pass", "warn")),
        ("all null", ("fail", "pass", "fail", "warn")),
        ("not finite", ("pass", "fail", "pass", "warn")),
        ("in the future", ("pass", "pass", "pass", "warn")),
        ("nested", ("pass", "error", "pass", "warn")),
        ("ids of 20 digits", ("pass", "fail", "pass", "warn")),
    ],
)
def test_awkward_tables_have_an_answer_to_each_promise(
    tmp_path: Path, rows: str, statuses: tuple[str, ...]
) -> None:
    found = checks(
        tmp_path,
        rows=f"create table t as {AWKWARD[rows]}",
        table={
            "properties": [
                {"name": "id", "required": True, "unique": True},
                {"name": "amount", "logicalTypeOptions": {"maximum": 80},
                 **rule(metric="nullValues", unit="percent", mustBe=0)},
            ]
        },
        slaProperties=[{"property": "latency", "value": 2, "unit": "d", "element": "t.at"}],
    )  # fmt: skip
    wrong = {one.name: one.status for one in found if one.status != "pass"}
    names = ("required", "maximum 80", "r", "latency 2 d")
    assert tuple(wrong.get(name, "pass") for name in names) == statuses
    assert not any("\n" in one.said for one in found)


def test_service_levels_of_other_tables_are_not_looked_at(tmp_path: Path) -> None:
    others = [{"property": "latency", "value": 1, "element": "customers.at"}]
    assert checks(tmp_path, slaProperties=others) == ()


@pytest.mark.parametrize(
    ("level", "said"),
    [
        ({"property": "availability", "value": 99.9, "unit": "percent"}, "not measured here"),
        ({"property": "timeOfAvailability", "value": "09:00-08:00"}, "`headrace quality status`"),
        ({"property": "timeOfAvailability", "value": "nine"}, "write value: 09:00 or"),
        ({"property": "frequency", "value": 1, "unit": "d"}, "`headrace quality status`"),
        (
            {"property": "retention", "value": 1e30, "unit": "y", "element": "t.at"},
            "cannot be read",
        ),
        ({"property": "retention", "value": -1, "element": "t.at"}, "cannot be read"),
        ({"property": "retention", "value": 1, "unit": "y"}, "it names no element"),
    ],
)
def test_what_a_query_of_the_table_cannot_tell_is_named(
    tmp_path: Path, level: dict[str, Any], said: str
) -> None:
    (found,) = checks(tmp_path, slaProperties=[level])
    assert (found.status, said in found.said) == ("skipped", True), found.said


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not valid YAML"),
        ("- a", "is not a mapping"),
        ("kind: DataContract", "it needs `kind: DataContract` and `apiVersion: v3.1.0`"),
        ("dataContractSpecification: 1.1.0", "Data Contract Specification"),
        ("kind: DataContract\napiVersion: v2.2.2", "is of version v2.2.2 of the standard"),
        ("kind: DataContract\napiVersion: v3.0.2\nschema: [{properties: []}]",
         "schema[0] has no name"),
        ("kind: DataContract\napiVersion: v3.0.2\nschema: [{name: t, properties: [{}]}]",
         "schema[0].properties[0] has no name"),
        ("kind: DataContract\napiVersion: v3.0.2\nschema: [{name: t, quality: 3}]",
         "schema[0].quality"),
        ("kind: DataContract\napiVersion: v3.0.2\nschema: 3", "schema: "),
    ],
)  # fmt: skip
def test_what_is_no_contract_is_told_in_one_line(tmp_path: Path, text: str, words: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(text)
    with pytest.raises(ContractError) as caught:
        read_contract(path)
    assert words in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_missing_file_is_told(tmp_path: Path) -> None:
    with pytest.raises(ContractError, match="cannot be read"):
        read_contract(tmp_path / "none.yaml")


def test_unknown_parts_are_named_and_the_rest_is_read(tmp_path: Path) -> None:
    found = contract(
        tmp_path,
        colour="red",
        schema=[{"name": "t", "properties": [{"name": "id", "shape": 1, "required": True}]}],
        team={"name": "sales", "members": [{"name": "Ada", "mood": "good"}]},
        support=[{"channel": "#help"}],
    )
    assert found.unknown == ("colour", "schema[0].properties[0].shape", "team.members[0].mood")
    assert "colour" in found.notes[0]
    assert found.promised_to == "sales, support #help"
    assert (found.objects[0].properties or [])[0].required


def test_a_team_of_3_0_is_a_list(tmp_path: Path) -> None:
    found = contract(tmp_path, team=[{"name": "Ada", "username": "ada"}, {"username": "bob"}])
    assert found.promised_to == "Ada, bob"


def test_what_a_file_has_beyond_ours_stays(tmp_path: Path) -> None:
    path = tmp_path / "orders.yaml"
    path.write_text(
        "apiVersion: v3.0.2\nkind: DataContract # ours\nprice: {priceAmount: 9}\ncolour: red\n"
        "schema:\n  - name: t\n    properties:\n      # the key\n      - name: id\n"
        "        classification: public\n"
    )
    new = {"schema": [{"name": "t", "properties": [{"name": "id", "required": True},
                                                   {"name": "new"}]}]}  # fmt: skip
    text = written(new, path)
    path.write_text(text)
    assert written(new, path) == text
    for kept in ("# ours", "priceAmount: 9", "colour: red", "# the key", "classification: public"):
        assert kept in text
    names = [one.name for one in read_contract(path).objects[0].properties or ()]
    assert names == ["id", "new"]


@pytest.mark.parametrize(
    ("type_", "logical"),
    [
        ("BIGINT", "integer"), ("decimal(16,2)", "number"), ("character varying(20)", "string"),
        ("TIMESTAMP WITH TIME ZONE", "timestamp"), ("DATE", "date"), ("boolean", "boolean"),
        ("VARCHAR[]", "array"), ("STRUCT(a INTEGER)", "object"), ("double precision", "number"),
        ("TIME", "time"), ("uuid", "string"),
    ],
)  # fmt: skip
def test_types_have_a_logical_one(type_: str, logical: str) -> None:
    assert logical_type(type_) == logical
