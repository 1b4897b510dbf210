"""A column is added to a model that somebody edited only where that is certain."""

import pytest

from headrace.scaffold.model_sql import ModelSql

HEAD = """\
with

source as (
    select * from {{ source('store', 'orders') }}
),

completed_loads as (
    {{ completed_loads('store') }}
),

"""
WHERE = "where _dlt_load_id in (select completed_loads.load_id from completed_loads)"


def model(final: str, *, head: str = HEAD, tail: str = "\n\nselect * from final\n") -> ModelSql:
    return ModelSql(f"{head}{final}{tail}")


def plain(*items: str, end: str = f"    from source\n    {WHERE}\n") -> ModelSql:
    body = "\n".join(f"        {item}" for item in items)
    return model(f"final as (\n    select\n{body}\n{end})")


def added(old: ModelSql, sql: str, after: str | None) -> list[str]:
    """The lines that are new or other, with their place."""
    new = old.with_column(sql, after=after)
    assert new is not None
    before, behind = old.text.splitlines(), new.text.splitlines()
    assert len(behind) == len(before) + 1
    place = next(n for n, line in enumerate(behind) if n >= len(before) or line != before[n])
    assert behind[place + 2 :] == before[place + 1 :] or behind[place + 1 :] == before[place:]
    return behind[place - 1 : place + 2]


def test_between_two_columns() -> None:
    found = added(plain("id as order_id,", "name,", "qty"), "city", "name")
    assert found == ["        name,", "        city,", "        qty"]


def test_after_the_last_one() -> None:
    found = added(plain("id as order_id,", "qty"), "city", None)
    assert found[1:] == ["        qty,", "        city"]


def test_after_the_last_one_with_a_comment() -> None:
    old = plain("id as order_id,", "qty -- how many, at most 9")
    new = old.with_column("city", after="qty")
    assert new is not None
    assert "        qty, -- how many, at most 9\n        city\n    from source\n" in new.text


def test_comments_jinja_and_expressions_stay() -> None:
    old = plain(
        "id as order_id, -- the key, from the shop",
        "-- the name",
        "{{ cents_to_dollars('amount') }} as amount,",
        "coalesce(name, 'a, from b') as name,  -- größe",
        "qty",
    )
    new = old.with_column("city", after="id")
    assert new is not None
    assert new.text == old.text.replace("from the shop\n", "from the shop\n        city,\n")


def test_line_ends_stay() -> None:
    old = ModelSql(plain("id as order_id,", "qty").text.replace("\n", "\r\n"))
    new = old.with_column("city", after="id")
    assert new is not None
    assert new.text == old.text.replace("order_id,\r\n", "order_id,\r\n        city,\r\n")


def test_on_one_line() -> None:
    old = model(f"final as (select id, name from source {WHERE})")
    assert "id, city, name from" in getattr(old.with_column("city", after="id"), "text", "")
    assert "id, name, city from" in getattr(old.with_column("city", after="name"), "text", "")


def test_the_first_of_two_gets_a_line_of_its_own() -> None:
    old = model(f"final as (\n    select id as order_id -- key\n    from source\n    {WHERE}\n)")
    new = old.with_column('"Ship To" as ship_to', after="id", note="  -- noqa: RF05")
    assert new is not None
    assert (
        "    select\n        id as order_id, -- key\n"
        '        "Ship To" as ship_to  -- noqa: RF05\n    from source\n'
    ) in new.text


UNSURE = {
    "another CTE": model("final as (\n    select\n        id\n    from renamed\n)"),
    "a join": plain("id", end="    from source\n    left join b on source.id = b.id\n"),
    "a group": plain("id", end=f"    from source\n    {WHERE}\n    group by id\n"),
    "a union": plain("id", end="    from source\n    where true\n    union all\n    select 1\n"),
    "distinct": model("final as (\n    select distinct id\n    from source\n)"),
    "no final": model("renamed as (\n    select id\n    from source\n)"),
    "a star among others": plain("*,", "1 as one"),
    "a statement of jinja": plain("id,", "{% if true %} name, {% endif %}", "qty"),
    "a loop": plain("{% for x in [1] %}", "a{{ x }},", "{% endfor %}", "qty"),
    "no SQL": plain("id,, name"),
    "a comma at the end": plain("id,", "qty,"),
    "fewer columns at the end": model(
        f"final as (\n    select id\n    from source\n    {WHERE}\n)",
        tail="\nselect id from final\n",
    ),
    "one CTE more": model(
        f"final as (\n    select id\n    from source\n    {WHERE}\n),\nb as (select 1)"
    ),
    "commas in front": plain("id", ", name", ", qty"),
    "nothing": ModelSql(""),
    "not closed": ModelSql("with final as (select id from source"),
}


@pytest.mark.parametrize("old", UNSURE.values(), ids=UNSURE.keys())
def test_what_is_not_sure_is_left(old: ModelSql) -> None:
    assert old.with_column("city", after="id") is None


def test_commas_in_front_take_a_last_one() -> None:
    old = plain("id", ", name", ", qty")
    new = old.with_column("city", after=None)
    assert new is not None
    assert ", qty,\n        city\n" in new.text


def test_what_it_calls_a_column() -> None:
    old = plain(
        "id as order_id,",
        "source.name,",
        '"group" as order_group,',
        "upper(city) as city,",
        "a + b as total,",
        "qty",
    )
    wanted = {"id": "order_id", "name": "name", "group": "order_group", "qty": "qty"}
    found = {raw: old.output(raw) for raw in (*wanted, "city", "a", "order_id")}
    assert found == wanted | {"city": None, "a": None, "order_id": None}
    assert plain("*").output("anything") == "anything"
    assert plain("*").shows_all


def test_what_it_reads() -> None:
    text = """
        {{ source('a', 'b') }} {{ source( "a" ,"it's" ) }} {{ source('a', 'it\\'s too') }}
        {# {{ source('a', 'hidden') }} #} -- {{ source('a', 'out') }}
    """
    assert ModelSql(text).reads == {("a", "b"), ("a", "it's"), ("a", "it's too")}


@pytest.mark.parametrize(
    ("source", "table"),
    [
        ("select * from {{ source('store', 'orders') }}", ("store", "orders")),
        ("select id from {{ source('store', 'orders') }}", None),
        ("select * from {{ source('store', 'orders') }} where id > 1", None),
        ("select * from {{ ref('orders') }}", None),
    ],
)
def test_which_table_it_passes_on(source: str, table: tuple[str, str] | None) -> None:
    assert ModelSql(f"with source as ({source}), final as (select 1) select 1").own_table == table


@pytest.mark.parametrize(
    ("column", "is_named"),
    [("qty", True), ("city", True), ("note", True), ("order", False), ("source", False),
     ("final", False), ("id", True), ("load_id", False), ("store", False), ("orders", False)],
)  # fmt: skip
def test_what_it_mentions(column: str, is_named: bool) -> None:
    old = plain("source.id as order_id,", "qty, -- city is left out", "{{ cents('note') }} as x")
    assert old.mentions(column) is is_named
