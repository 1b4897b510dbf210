"""Redshift's SQL as the stand-in reads it: what it becomes, and what is refused."""

import json
import re
from typing import Any

import pytest

pytest.importorskip("pg_mimic", reason="uv sync --extra redshift")

from headrace.targets.redshift_mock.commands import RefusedError, parse_copy, parse_unload
from headrace.targets.redshift_mock.translate import split, translate


@pytest.mark.parametrize(
    ("given", "made"),
    [
        (
            (
                'create table "Dev"."S"."T" (id bigint identity(0, 1) encode az64 primary key, a '
                "varchar(max) distkey, b super, c varbyte, unique (a)) diststyle key "
                "sortkey (a)"
            ),
            (
                'CREATE TABLE "dev"."s"."t" (id BIGINT GENERATED ALWAYS AS IDENTITY (START WITH 0 '
                "INCREMENT BY 1 MINVALUE 0) NOT NULL, a VARCHAR(65535), b _redshift.super, c BYTEA)"
            ),
        ),
        (
            "create table t diststyle even as select 1 as distkey",
            "CREATE TABLE t AS SELECT 1 AS distkey",
        ),
        ("select getdate(), sysdate", "SELECT _redshift.rs_getdate(), _redshift.rs_sysdate()"),
        (
            "select datediff(yrs, a, b), dateadd(mon, 1, '2024-01-31') from t",
            (
                "SELECT _redshift.rs_datediff('year', a, b), "
                "_redshift.rs_dateadd('month', 1, CAST('2024-01-31' AS TIMESTAMP)) FROM t"
            ),
        ),
        ("select approximate count(distinct a) from t", "SELECT COUNT(DISTINCT a) FROM t"),
        (
            "select listagg(a, ', ') within group (order by b desc) from t",
            "SELECT string_agg(CAST(a AS TEXT), ', ' ORDER BY b DESC) AS listagg FROM t",
        ),
        ("select a::decimal from t", "SELECT CAST(a AS DECIMAL(18, 0)) FROM t"),
        ("select nvl2(a, b, c) from t", "SELECT CASE WHEN NOT a IS NULL THEN b ELSE c END FROM t"),
        ("select concat(a, b) from t", "SELECT (CAST(a AS TEXT) || CAST(b AS TEXT)) FROM t"),
        (r"select 'it\'s $1', $1", "SELECT 'it''s $1', $1"),
        (
            "select s.x[0].\"Y\" from t where s.z = 'a'",
            (
                "SELECT _redshift.rs_path(s, ARRAY['x', '0', 'y']) AS \"y\" FROM t "
                "WHERE _redshift.rs_path(s, ARRAY['z']) = to_jsonb(CAST('a' AS TEXT))"
            ),
        ),
        ("select x.a, b.x.a from b.x", "SELECT x.a, b.x.a FROM b.x"),
        (
            "select top 3 a from t minus select b from u",
            "(SELECT a FROM t LIMIT 3) EXCEPT SELECT b FROM u",
        ),
        ("vacuum full t to 99 percent", "vacuum t"),
        ("set query_group to 'x'", 'set "redshift"."query_group" to \'x\''),
        ("begin read write", "begin"),
        ('grant select on "T" to group readers', 'grant select on "t" to group readers'),
    ],
)
def test_what_is_translated(given: str, made: str) -> None:
    assert " ".join(translate(given).sql.partition(" /*")[0].split()) == made


@pytest.mark.parametrize(
    ("sql", "design"),
    [
        (
            'create table "S"."T" (id bigint encode raw distkey, a int sortkey, b varchar(9))',
            {"name": '"s"."t"', "style": "key", "key": "id", "sort": ["a"],
             "encodings": {"id": "raw"}},
        ),
        (
            """create temp table if not exists t diststyle key distkey ("Id") interleaved
            sortkey(a, "B") as (select 1 as distkey, 'sortkey (x)' as sortkey)""",
            {"name": "t", "style": "key", "key": "id", "sort": ["a", "b"], "interleaved": True},
        ),
        ("create table t (like s.o including defaults)", {"name": "t", "like": "s.o"}),
        ("create table t (a decimal(9, 2), b int) diststyle all", {"name": "t", "style": "all"}),
        ("alter table t alter sortkey none, alter diststyle even",
         {"name": "t", "style": "even", "sort": []}),
        ("alter table t alter diststyle key distkey a", {"name": "t", "style": "key", "key": "a"}),
        ("alter table t alter column a encode zstd, alter column b encode lzo",
         {"name": "t", "encodings": {"a": "zstd", "b": "lzo"}}),
    ],
)  # fmt: skip
def test_how_a_table_is_stored_goes_with_the_statement(sql: str, design: dict[str, Any]) -> None:
    made = translate(sql)
    said = re.search(r"\{.*\}", made.sql)
    assert said is not None
    assert json.loads(said[0]) == design
    assert made.tag == ("ALTER TABLE" if sql.startswith("alter") else None)


def test_another_alter_table_is_not_taken_for_one_of_the_design() -> None:
    assert "ADD COLUMN" in translate("alter table t add column distkey int").sql.upper()
    assert "TYPE" in translate("alter table t alter column a type varchar(20)").sql.upper()


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("select * from t pivot (sum(a) for b in ('x'))", "PIVOT"),
        ("select * from stl_query", "stl_query"),
        ("select * exclude a from t", r"\* EXCLUDE"),
        ("select a, count(*) from t group by all", "GROUP BY ALL"),
        ("select listagg(distinct a, ',') within group (order by a) over () from t", "LISTAGG"),
        ("select dateadd(fortnight, 1, a) from t", "fortnight"),
        ("create table t (a geometry)", "GEOMETRY"),
        ("create table t (a int check (a > 0))", "CHECK"),
        ("create external schema x from data catalog database 'd' iam_role 'r'", "external"),
        ("create procedure p() as $$ begin end $$ language plpgsql", "stored procedures"),
        (
            "create function f(a int) returns int stable as $$ return a $$ language plpythonu",
            "SQL only",
        ),
        ("create index i on t (a)", "CREATE INDEX"),
        ("alter table t append from u", "APPEND"),
        ("copy t from stdin", "STDIN"),
        ("copy t from 'emr://x/y' iam_role 'r'", "emr"),
        ("copy t from 's3://b/k' iam_role default lzma", "LZMA"),
        ("copy t from 's3://b/k' iam_role default maxerror x", "MAXERROR"),
        ("set enable_case_sensitive_identifier to true", "lower case"),
        ("selec 1", "cannot read"),
        ("select 'open", "cannot read"),
    ],
)
def test_what_is_refused_says_which_part(sql: str, part: str) -> None:
    with pytest.raises(RefusedError) as caught:
        translate(sql)
    assert re.search(part, caught.value.message)
    assert "\n" not in caught.value.message


def test_statements_are_split_outside_of_texts() -> None:
    sql = "select ';', \"a;b\" -- ;\n; /* ; */ ;comment on table t is $x$;$x$; "
    assert [one.strip() for one in split(sql)] == [
        "select ';', \"a;b\" -- ;",
        "comment on table t is $x$;$x$",
    ]


def test_an_insert_of_many_values_is_not_parsed() -> None:
    rows = ",".join(
        f"({number}, 'it''s \\n {number}', json_parse('{{}}'), null)" for number in range(9)
    )
    made = translate(f'insert into "S"."T" (a, b, c, d) values {rows};').sql
    assert made.startswith("insert into \"s\".\"t\" (a, b, c, d) values (0, E'it''s \\n 0'")
    assert "_redshift.rs_json_parse('{}')" in made
    assert translate("insert into t values (getdate())").sql.endswith("(_redshift.rs_getdate())")


def test_options_of_copy_and_unload() -> None:
    copy = parse_copy(
        'copy "Dev".s."T" (a, "B") from \'s3://b/k\' credentials '
        "'aws_access_key_id=me;aws_secret_access_key=it' csv quote as '\\'' ignoreheader as 1 "
        "null as '-' maxerror 5 region 'eu-west-1' gzip"
    )
    assert copy.table == ("dev", "s", "t")
    assert copy.columns == ("a", "b")
    assert (copy.format, copy.max_errors, copy.access.key_id) == ("csv", 5, "me")
    assert copy.options == {"quote": "'", "ignoreheader": "1", "null": "-", "compression": "gzip"}
    unload = parse_unload(
        "unload ('select ''a'' as b') to 's3://b/k_' iam_role default format as parquet "
        "partition by (b) allowoverwrite"
    )
    assert unload.select == "select 'a' as b"
    assert unload.options == {"partition": "b", "allowoverwrite": ""}
