"""Schema files that are wrong: one clear error each, with its place and what is allowed."""

# ruff: noqa: E501  tables of cases

from pathlib import Path

import pytest

from headrace.synth.errors import SchemaError, SynthError
from headrace.synth.schema.schema_file import parse, read
from headrace.synth.view import View
from headrace.synth.world import World

TABLE = """\
schema:
  customer:
    count: 10
    fields:
      id: {type: serial, primary_key: true}
"""
RATE = "{type: datetime, distribution: rate, start: 2024-01-01, per_day: 5}"


def problem(text: str) -> str:
    with pytest.raises(SchemaError) as error:
        World(parse(text, Path("shop.yml")))
    return str(error.value)


def field(definition: str) -> str:
    return TABLE + f"      x: {definition}\n"


@pytest.mark.parametrize(
    ("text", "place", "message"),
    [
        pytest.param("- a\n", "1:1", "a mapping with the key schema", id="a list"),
        pytest.param("schema: {}\n", "1:1", "at least 1 item", id="no tables"),
        pytest.param("schema: [\n", "2:1", "", id="not YAML"),
        pytest.param(field("{type: sereal}"), "6:11", "did you mean 'serial'", id="unknown type"),
        pytest.param(field("{start: 1}"), "6:7", "has no type", id="no type"),
        pytest.param(
            field("{type: categorical, generator: faker.frist_name}"),
            "6:7", "unknown generator 'faker.frist_name'", id="unknown generator",
        ),
        pytest.param(
            field("{type: categorical, generator: faker.city, locale: xx_XX}"),
            "6:7", "unknown locale 'xx_XX'", id="unknown locale",
        ),
        pytest.param(
            field("{type: categorical, generator: faker.pyint}"), "6:7", "gives int, not text",
            id="a generator of numbers",
        ),
        pytest.param(
            field("{type: serial, strat: 3}"), "6:25", "did you mean 'start'", id="unknown key"
        ),
        pytest.param(
            field("{type: foreign_key, references: custmer.id}"),
            "6:30", "did you mean 'customer'", id="a reference to no table",
        ),
        pytest.param(
            field("{type: foreign_key, references: customer.idd}"),
            "6:30", "did you mean 'id'", id="a reference to no column",
        ),
        pytest.param(
            field("{type: foreign_key, references: customer}"),
            "6:30", "does not fit", id="a reference without a column",
        ),
        pytest.param(
            field("{type: foreign_key, references: customer.id}"),
            "6:7", "say optional: true", id="a key to the table itself",
        ),
        pytest.param(
            "schema:\n"
            "  a: {count: 1, fields: {id: {type: serial}, b: {type: foreign_key, references: b.id}}}\n"
            "  b: {count: 1, fields: {id: {type: serial}, a: {type: foreign_key, references: a.id}}}\n",
            "2:3", "a cycle of required keys: a > b > a", id="a cycle of required keys",
        ),
        pytest.param(
            TABLE.replace("10\n", "200\n") + "      x: {type: unique, generator: faker.color_name}\n",
            "6:7", "the pool is too small", id="a pool too small",
        ),
        pytest.param(
            field("{type: unique, pattern: 'A'}"), "6:7", "1 distinct values", id="a pattern too small"
        ),
        pytest.param(
            field("{type: numerical, min: 3, max: 1}"), "6:7", "min 3 is above max 1", id="bounds"
        ),
        pytest.param(
            field("{type: datetime, range: [2024-02-01, 2024-01-01]}"),
            "6:7", "impossible range", id="an impossible range",
        ),
        pytest.param(
            field("{type: numerical, distribution: gaussian, mean: 1}"),
            "6:7", "needs stddev", id="no stddev",
        ),
        pytest.param(
            field("{type: numerical, distribution: gausian}"), "6:28", "one of:", id="distribution"
        ),
        pytest.param(
            TABLE.replace("    count: 10\n", "") + f"      x: {RATE.replace('per_day: 5', 'per_day: 0')}\n",
            "5:66", "greater than 0", id="a rate of zero",
        ),
        pytest.param(
            TABLE.replace("    count: 10\n", "")
            + f"      x: {RATE[:-1]}, weekday: [0, 0, 0, 0, 0, 0, 0]}}\n",
            "5:7", "a rate of zero", id="a week of zeros",
        ),
        pytest.param(
            TABLE.replace("    count: 10\n", ""), "2:3", "how many rows has customer", id="no rows"
        ),
        pytest.param(
            field("{type: status, start: a, ladder: {a: {to: {b: 1}, delay: {max: 1d}}}}"),
            "6:7", "needs rows that come into being over time", id="a status without time",
        ),
        pytest.param(
            field("{type: status, start: a, ladder: {a: {to: {a: 1}, delay: {max: 1d}}}}"),
            "6:7", "the ladder has a cycle: a > a", id="a ladder with a cycle",
        ),
        pytest.param(
            field("{type: derived, expression: idd + 1}"), "6:26", "did you mean 'id'", id="a name"
        ),
        pytest.param(
            field("{type: derived, expression: x + 1}"), "6:7", "columns need each other", id="itself"
        ),
        pytest.param(
            TABLE.replace("    count: 10\n", "")
            + f"      at: {RATE}\n"
            + "      status: {type: status, start: a, ladder: {a: {to: {b: 1}, delay: {max: 1d}}}}\n"
            "      visits: {type: derived, expression: count(visit)}\n"
            "  visit:\n"
            "    per: {table: customer}\n"
            "    fields: {status: {type: derived, expression: customer.status}}\n",
            "2:3", "customer (when it changes) > visit (when it changes)", id="changes in a cycle",
        ),
        pytest.param(
            TABLE.replace("    count: 10\n", "")
            + f"      at: {RATE}\n"
            "  visit:\n"
            "    per: {table: customer, at: customer.at + hours(other.minutes), within: 2d}\n"
            "    fields: {other_id: {type: foreign_key, references: other.id}}\n"
            "  other:\n"
            "    count: 3\n"
            "    fields: {id: {type: serial}, minutes: {type: numerical, min: 1, max: 3}}\n",
            "8:14", "visit (when it comes into being)", id="a time in a cycle",
        ),
        pytest.param(
            TABLE + "      id: {type: uuid}\n", "6:7", "the key 'id' stands here twice", id="a key twice"
        ),
        pytest.param(
            field("{type: categorical, values: [a, b], weights: [1]}"),
            "6:7", "1 weights for 2 values", id="weights",
        ),
        pytest.param(
            field("{type: categorical, values: [a], weights: [0]}"), "6:7", "above 0", id="no weight"
        ),
        pytest.param(
            TABLE + "    deletions: {rate: 0.1, within: 3d}\n", "6:5",
            "needs rows that come into being over time", id="deletions without time",
        ),
        pytest.param("uses: [none.yml]\n" + TABLE, "1:8", "there is no file", id="uses no file"),
    ],
)  # fmt: skip
def test_one_clear_error(text: str, place: str, message: str) -> None:
    said = problem(text)
    assert message in said
    assert said.startswith(f"shop.yml:{place}: "), said


@pytest.mark.parametrize(
    "expression",
    [
        "__import__('os').system('true')",
        "().__class__.__bases__[0]",
        "[x for x in (1, 2)]",
        "(lambda: 1)()",
        "id.__class__",
        "open('/etc/passwd')",
        "id if",
        "9 ** 9 ** 9",
        "'a' * 10 ** 12",
        "f'{id}'",
        "id := 3",
        "1" * 3_000,
        "(" * 500 + "1" + ")" * 500,
        "+".join(["1"] * 900),
        "not " * 400 + "id",
        "18446744073709551616",
        "sum(customer, id)",
        "entered(id, 'paid')",
        "child(order, customer, 0)",
        "round()",
    ],
)
def test_a_hostile_expression_is_refused(expression: str) -> None:
    said = problem(TABLE + f"      x:\n        type: derived\n        expression: >-\n"
                   f"          {expression}\n")  # fmt: skip
    assert said.startswith("shop.yml:8:9: ")
    assert len(said) < 600


def test_all_problems_are_named_at_once() -> None:
    said = problem(field("{type: sereal}") + "      y: {type: numerical, min: 3, max: 1}\n")
    assert len(said.splitlines()) == 2


def test_a_column_named_no_is_a_name() -> None:
    world = World(parse(TABLE + "      no: {type: boolean}\n      on: {type: uuid}\n"))
    assert View.of(world).table("customer").column_names == ["id", "no", "on"]


def test_two_tables_that_list_one_child_keep_their_own_values() -> None:
    """Fields of a list are computed over the child's rows, and stand in the table that lists it."""
    listed = "{{type: list, of: line, fields: {{x: {{type: categorical, values: [{value}]}}}}}}"
    world = World(parse(TABLE + f"""\
      items: {listed.format(value="a")}
  line:
    per: {{table: customer, count: 2}}
    fields: {{id: {{type: serial, primary_key: true}}}}
  note:
    per: {{table: customer}}
    fields:
      id: {{type: serial, primary_key: true}}
      items: {listed.format(value="b")}
"""))  # fmt: skip
    view = View.of(world)
    for name, value in (("customer", "a"), ("note", "b"), ("customer", "a")):
        rows = view.table(name).column("items").to_pylist()
        assert rows == [[{"x": value}, {"x": value}]] * 10, name


def test_a_bomb_of_aliases_ends_soon() -> None:
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]" for n in range(1, 12)]
    assert "once aliases unfold" in problem("\n".join(lines))


@pytest.mark.parametrize("text", ["a: " + "[" * 700 + "]" * 700, "- " * 500_000, "{a: " * 300_000])
def test_deep_nesting_ends_soon(text: str) -> None:
    assert "shop.yml:1:1: nested more than 40 levels deep" in problem(text)


def test_an_alias_of_itself_ends_soon() -> None:
    assert "shop.yml:1:1" in problem("schema: &a {b: *a}")


def test_a_file_of_10_mb_is_not_read(tmp_path: Path) -> None:
    path = tmp_path / "data.yml"
    path.write_bytes(b"# " + b"x" * 10_000_000)
    with pytest.raises(SynthError, match="headrace learn"):
        read(path)


@pytest.mark.parametrize("content", [b"\xff\xfe\x00", b"", b"null", b"3"])
def test_what_is_no_schema_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.yml"
    path.write_bytes(content)
    with pytest.raises(SchemaError, match=r"x\.yml:1:1"):
        read(path)


def test_no_such_file(tmp_path: Path) -> None:
    with pytest.raises(SynthError, match="cannot read the schema file"):
        read(tmp_path / "none.yml")


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), float("inf"), 1e300])
def test_a_scale_that_is_none(scale: float) -> None:
    with pytest.raises(SynthError, match="must be above 0"):
        World(parse(TABLE), scale=scale)


def test_more_rows_than_can_be_numbered() -> None:
    chain = "".join(
        f"  t{n}: {{per: {{table: {'customer' if n == 0 else f't{n - 1}'}, count: 65536}}, "
        "fields: {id: {type: serial}}}\n"
        for n in range(4)
    )
    with pytest.raises(SynthError, match="can be numbered"):
        World(parse(TABLE + chain))
    with pytest.raises(SynthError, match="less than or equal"):
        World(parse(TABLE.replace("count: 10", "count: 1000000000000000000000")))
