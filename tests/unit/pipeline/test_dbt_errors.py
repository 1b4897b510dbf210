"""dbt's messages, as dbt 1.12 with dbt-duckdb writes them, and what is made of them."""

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from headrace.error_detail import ErrorDetail, Mismatch
from headrace.pipeline.dbt.dbt_errors import DbtProjectFiles, explain

MODEL = """

{{ config(materialized='table') }}

with orders as (
    select * from {{ ref('base') }}
)

select
    id,
    sum(amount) as total
from orders
grup by all
"""
COMPILED = """

with orders as (
    select * from "warehouse"."marts"."base"
)

select
    id,
    sum(amount) as total
from orders
grup by all"""


@pytest.fixture
def project(tmp_path: Path) -> DbtProjectFiles:
    dbt = tmp_path / "dbt_project"
    (dbt / "models/deep").mkdir(parents=True)
    (dbt / "macros").mkdir()
    (dbt / "models/orders.sql").write_text(MODEL)
    return DbtProjectFiles(tmp_path, dbt, tmp_path / "data/dbt/target")


def model(
    project: DbtProjectFiles, compiled: str | None = COMPILED, name: str = "orders.sql"
) -> Any:
    return SimpleNamespace(
        original_file_path=f"models/{name}",
        package_name="tiny",
        compiled_code=compiled,
        compiled_path=str(project.compiled / "compiled/tiny/models" / name),
        patch_path="tiny://models/orders.yml",
    )


def sql_message(line: str, number: int = 21, at: int = 0, what: str = "Parser Error: wrong") -> str:
    head = f"LINE {number}: "
    return (
        f"Runtime Error in model orders (models/orders.sql)\n  {what}\n  \n"
        f"  {head}{line}\n  {' ' * (len(head) + at)}^"
    )


def test_line_of_compiled_sql_is_that_of_the_model(project: DbtProjectFiles) -> None:
    text, detail = explain(sql_message("grup by all", at=5), model(project), project)
    assert text == "dbt_project/models/orders.sql line 13: Parser Error: wrong"
    assert detail == ErrorDetail(
        "dbt_project/models/orders.sql",
        13,
        6,
        "11 |     sum(amount) as total\n12 | from orders\n13 | grup by all\n   |      ^",
    )


def test_line_that_jinja_wrote(project: DbtProjectFiles) -> None:
    """The line is known, since those around it are the same; the column is of compiled SQL."""
    line = '    select * from "warehouse"."marts"."base"'
    text, detail = explain(sql_message(line, at=18), model(project), project)
    assert text.startswith("dbt_project/models/orders.sql line 6: ")
    assert detail is not None
    assert detail.column is None
    *_, shown, caret = detail.excerpt.splitlines()
    assert shown.endswith(line)
    assert shown[caret.index("^")] == '"'


def test_line_cut_by_duckdb(project: DbtProjectFiles) -> None:
    text, detail = explain(sql_message("...m(amount) as to...", at=5), model(project), project)
    assert "line 11" in text
    assert detail is not None
    assert (detail.line, detail.column) == (11, 9)


def test_line_that_only_the_compiled_sql_has(project: DbtProjectFiles) -> None:
    compiled = "\n".join(f"select {number} union all" for number in range(9))
    text, detail = explain(sql_message("select 5 union all"), model(project, compiled), project)
    path = "data/dbt/target/compiled/tiny/models/orders.sql"
    assert text == f"{path} line 6: Parser Error: wrong"
    assert detail is not None
    assert detail.place == f"{path}:6:1"
    assert "6 | select 5 union all" in detail.excerpt


@pytest.mark.parametrize(("number", "line"), [(5, 1), (8, 4)])
def test_equal_lines_are_told_apart_by_what_ran(
    project: DbtProjectFiles, number: int, line: int
) -> None:
    code = "select nope\nfrom a\nunion all\nselect nope\nfrom b"
    (project.dbt / "models/twice.sql").write_text(code)
    ran = project.compiled / "run/tiny/models/twice.sql"
    ran.parent.mkdir(parents=True)
    ran.write_text(f"create table x as (\n\n\n{code}\n);")
    node = model(project, code, "twice.sql")
    _, detail = explain(sql_message("select nope", number, at=7), node, project)
    assert detail is not None
    assert detail.place == f"dbt_project/models/twice.sql:{line}:8"


def test_equal_lines_that_nothing_tells_apart(project: DbtProjectFiles) -> None:
    node = model(project, "select nope\nunion all\nselect nope")
    text, detail = explain(sql_message("select nope", at=7), node, project)
    assert text == "Parser Error: wrong"
    assert detail is not None
    assert detail.place == "dbt_project/models/orders.sql"
    assert detail.excerpt == "LINE 21: select nope\n                ^"


def test_mismatches_of_a_contract_are_all_kept(project: DbtProjectFiles) -> None:
    rows = "\n".join(
        f"  | column_{n}  | VARCHAR | INTEGER | data type mismatch |" for n in range(40)
    )
    message = (
        "Compilation Error in model orders (models/orders.sql)\n"
        "  This model has an enforced contract that failed.\n"
        "  Please ensure the name, data_type, and number of columns in your contract match the "
        "columns in your model's definition.\n  \n"
        "  | column_name | definition_type | contract_type | mismatch_reason |\n"
        "  | ----------- | --------------- | ------------- | --------------- |\n"
        f"{rows}\n  | extra | DATE |  | missing in contract |\n  \n  \n"
        "  > in macro assert_columns_equivalent (macros/relations/column/columns_spec_ddl.sql)\n"
        "  > called by model orders (models/orders.sql)"
    )
    text, detail = explain(message, model(project), project)
    assert text.startswith("41 columns differ from the model's contract: column_0, column_1")
    assert detail is not None
    assert len(detail.mismatches) == 41
    assert detail.mismatches[-1] == Mismatch("extra", "DATE", "", "missing in contract")


@pytest.mark.parametrize("others", [0, 1])
def test_file_of_a_block_that_dbt_gives_without_one(project: DbtProjectFiles, others: int) -> None:
    for number in range(1 + others):
        text = "{% macro a() %}\n {% endif %}\n{% endmacro %}\n"
        (project.dbt / f"macros/m{number}.sql").write_text(text)
    message = (
        "Compilation Error\n  Got an unexpected control flow end tag, got endif but never saw a "
        "preceeding if (@ 2:1)"
    )
    text, detail = explain(message, None, project)
    said = "Got an unexpected control flow end tag, got endif but never saw a preceeding if"
    assert text == (said if others else f"dbt_project/macros/m0.sql line 2: {said}")
    assert (detail is None) == bool(others)


def test_own_macro_is_named_and_what_called_it(project: DbtProjectFiles) -> None:
    (project.dbt / "macros/mine.sql").write_text("{% macro mine() %}{% endmacro %}")
    message = (
        "Compilation Error in model orders (models/orders.sql)\n  mine says no\n  \n"
        "  > in macro statement (macros/etc/statement.sql)\n"
        "  > in macro mine (macros/mine.sql)\n  > called by model orders (models/orders.sql)"
    )
    text, detail = explain(message, model(project), project)
    assert text == "mine says no"
    assert detail == ErrorDetail(
        "dbt_project/macros/mine.sql", excerpt="called by dbt_project/models/orders.sql"
    )


def test_frame_of_a_python_model(project: DbtProjectFiles) -> None:
    (project.dbt / "models/py.py").write_text('def model(dbt, session):\n    return {}["x"]\n')
    message = (
        "Runtime Error in model py (models/py.py)\n  Python model failed:\n"
        "  Traceback (most recent call last):\n"
        f'    File "{__file__}", line 3, in run\n      run()\n'
        '    File "/tmp/gone-with-dbt.py", line 2, in model\n      return {}["x"]\n'
        f"             ~~^^^^^\n    File \"{__file__}\", line 9, in get\n  KeyError: 'x'\n  "
    )
    text, detail = explain(message, model(project, None, "py.py"), project)
    assert text == "dbt_project/models/py.py line 2: KeyError: 'x'"
    assert detail is not None
    assert detail.excerpt.endswith('2 |     return {}["x"]')


@pytest.mark.parametrize(
    ("file", "content", "message", "line", "words"),
    [
        (
            "models/j.sql",
            '\n\n\nselect 1\n, {{ ref("a" }}',
            ("Compilation Error in model j (models/j.sql)\n  unexpected '}', expected ')'\n"
            '    line 2\n      , {{ ref("a" }}'),
            5,
            "unexpected '}', expected ')'",
        ),
        (
            "models/deep/b.yml",
            "models:\n  - name: a\n   columns:\n",
            ("Parsing Error\n  Error reading tiny: deep/b.yml - Runtime Error\n"
            "    Syntax error near line 3\n    -----\n    1  | models:\n    \n    Raw Error:\n"
            '    ------\n    while parsing a block\n      in "<unicode string>", line 2, column 3\n'
            "    did not find expected '-' indicator\n"
                '      in "<unicode string>", line 3, column 4'),
            3,
            "not valid YAML: did not find expected '-' indicator",
        ),
        (
            "models/deep/c.yml",
            "models:\n  - name: other\n  - name: orders\n    columns: [{nam: id}]\n",
            ("Parsing Error\n  Invalid models config given in models/deep/c.yml @ models: {'name': "
            "'orders', 'columns': [{'nam': 'id'}]} - at path ['columns'][0]: 'name' is a required "
            "property"),
            3,
            "not what dbt takes for models: at path ['columns'][0]: 'name' is a required property",
        ),
        (
            "models/r.sql",
            "select 1\nfrom {{ ref('nobody') }}",
            ("Compilation Error\n  Model 'model.tiny.r' (models/r.sql) depends on a node named "
            "'nobody' which was not found"),
            2,
            "depends on a node named 'nobody'",
        ),
        (
            "models/u.sql",
            "select 1,\n{{ nobody('x') }}",
            ("Compilation Error in model u (models/u.sql)\n  'nobody' is undefined. This can "
            "happen when calling a macro that does not exist.\n  \n"
            "  > called by model u (models/u.sql)"),
            2,
            "'nobody' is undefined",
        ),
        (
            "models/deep/jp.py",
            "def model(dbt, session):\n    return (\n",
            "Parsing Error\n  '(' was never closed (jp.py, line 2)\n      return (\n  ",
            2,
            "'(' was never closed",
        ),
    ],
)  # fmt: skip
def test_files_that_dbt_cannot_parse(
    project: DbtProjectFiles, file: str, content: str, message: str, line: int, words: str
) -> None:
    (project.dbt / file).write_text(content)
    text, detail = explain(message, None, project)
    assert text.startswith(f"dbt_project/{file} line {line}: ")
    assert words in text
    assert detail is not None
    assert (detail.file, detail.line) == (f"dbt_project/{file}", line)
    assert content.splitlines()[line - 1].strip() in detail.excerpt


@pytest.mark.parametrize(
    "message",
    [
        "",
        "one line",
        "Runtime Error",
        "Runtime Error in model orders (models/orders.sql)",
        "LINE 3: alone",
        "Traceback (most recent call last):",
        "Compilation Error\n  x\n    line 3",
        "Parsing Error\n  y\n  Raw Error:",
        "an enforced contract that failed",
        "Got 2 results\n\nRaw Error:\nno mark\n",
    ],
)
def test_any_message_is_one_line(project: DbtProjectFiles, message: str) -> None:
    for node in (None, model(project), model(project, None, "gone.sql")):
        text, _ = explain(message, node, project)
        assert "\n" not in text
        assert text or not message


def test_sql_of_the_model_of_a_unit_test(project: DbtProjectFiles) -> None:
    message = (
        "Runtime Error in unit_test one (models/orders.yml)\n  An error occurred during execution "
        "of unit test 'one'. There may be an error in the unit test definition: check the data "
        "types.\n"
        "   Runtime Error\n    Parser Error: wrong\n    \n    LINE 44: grup by all\n"
        "                  ^"
    )
    test = SimpleNamespace(original_file_path="models/orders.yml", package_name="tiny", name="one")
    text, detail = explain(message, test, project, tested=model(project, None))
    assert text == "dbt_project/models/orders.sql line 13: Parser Error: wrong"
    assert detail is not None
    assert detail.column == 6


def test_what_follows_the_first_paragraph_is_kept(project: DbtProjectFiles) -> None:
    message = (
        "Compilation Error in unit_test one (models/orders.yml)\n  actual differs from expected:\n"
        "  \n  @@ ,id,total\n     ,1 ,2\n  +++,2 ,4"
    )
    (project.dbt / "models/orders.yml").write_text("unit_tests:\n  - name: one\n")
    test = SimpleNamespace(original_file_path="models/orders.yml", package_name="tiny", name="one")
    text, detail = explain(message, test, project, tested=model(project))
    assert text == "dbt_project/models/orders.yml line 2: actual differs from expected"
    assert detail is not None
    assert detail.excerpt == "@@ ,id,total\n   ,1 ,2\n+++,2 ,4"
