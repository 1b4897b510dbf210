"""A mart without a yml builds and is published with a note; its yml is written from its table."""

from pathlib import Path

import pytest
from lab import Lab, copy_project
from typer.testing import CliRunner

from headrace import yaml_editor
from headrace.cli.main import app
from headrace.errors import ScaffoldError
from headrace.scaffold import scaffold_model

pytestmark = pytest.mark.slow

MART = """\
select order_id, customer_id, status, order_date, amount, 'it''s: #1' as "Note"
from {{ ref('orders') }}
where order_id < 90
"""


@pytest.fixture
def own(done: Lab, tmp_path: Path) -> Lab:
    """A project in which the sample was run once, with a mart of three lines."""
    lab = Lab(done.data_dir, copy_project(tmp_path / "project"))
    (lab.root / "dbt_project" / "models" / "marts" / "my_orders.sql").write_text(MART)
    return lab


def test_a_mart_of_three_lines(own: Lab) -> None:
    with pytest.raises(ScaffoldError, match="my_orders is not built yet: run `headrace build`"):
        scaffold_model(own.resolved, "my_orders")
    report = own.run()
    assert report.status == "success"
    assert report.publish is not None
    assert "marts.my_orders" in {table.name for table in report.publish.tables}
    assert report.audit is not None
    assert report.audit.without_contract == ("my_orders",)
    assert any("`headrace scaffold --model my_orders`" in note for note in report.notes)

    # the yml, from the table
    path = own.root / "dbt_project" / "models" / "marts" / "my_orders.yml"
    assert scaffold_model(own.resolved, "my_orders", dry_run=True).file.status == "added"
    assert not path.exists()
    written = scaffold_model(own.resolved, "my_orders")
    assert (written.rows, written.key, written.file.status) == (89, ("order_id",), "added")
    (entry,) = yaml_editor.parse(path.read_text("utf-8"), path.name).data["models"]
    assert entry["config"] == {"contract": {"enforced": True}}
    assert entry["description"] == "One row per order."
    columns = {column["name"]: column for column in entry["columns"]}
    assert {name: column["data_type"] for name, column in columns.items()} == {
        "order_id": "bigint", "customer_id": "bigint", "status": "varchar", "order_date": "date",
        "amount": "decimal(16,2)", "Note": "varchar",
    }  # fmt: skip
    assert columns["order_id"]["data_tests"] == ["unique", "not_null"]
    assert columns["customer_id"]["data_tests"][1] == {
        "relationships": {"arguments": {"to": "ref('customers')", "field": "customer_id"}}
    }
    assert columns["status"]["data_tests"][1]["accepted_values"]["arguments"]["values"][0] == (
        "completed"
    )
    assert scaffold_model(own.resolved, "my_orders").file.status == "unchanged"

    # edits stay, and what is new is added
    edited = path.read_text("utf-8").replace(
        'data_type: date\n        description: ""  # to be described',
        "data_type: date\n        description: The day.  # mine",
    )
    edited = edited.replace(
        "          - accepted_values:\n", "          - accepted_values:  # all\n"
    )
    path.write_text(edited)
    sql = path.with_suffix(".sql")
    sql.write_text(MART.replace("amount,", "amount, amount > 10 as is_large,"))
    report = own.run("build")
    assert report.status == "failed", "the contract is enforced"
    assert report.audit is not None
    assert "contract" in " ".join(report.audit.problems)
    path.write_text(edited.replace("enforced: true", "enforced: false"))
    report = own.run("build")
    assert (report.status, report.notes) == ("success", ()), "false is an answer"
    path.write_text(edited)
    changed = scaffold_model(own.resolved, "my_orders")
    assert (changed.file.status, changed.file.additions) == ("changed", ("column is_large",))
    text = path.read_text("utf-8")
    assert set(edited.splitlines()) <= set(text.splitlines())
    assert "is_large" in text
    assert own.run().status == "success"


def test_the_command_says_what_is_wrong(done: Lab) -> None:
    def said(*words: str) -> str:
        flags = ["--set", f"data_dir={done.data_dir}", "--project-dir", str(done.root)]
        result = CliRunner().invoke(app, ["scaffold", *words, *flags])
        return str(result.exception or result.output)

    assert said() == "name a source, or a model by --model NAME"
    assert said("jaffle_shop", "--model", "orders") == "name a source, or a model by --model NAME"
    assert "there is no model oders (did you mean 'orders'?)" in said("--model", "oders")
    assert "has it all" in said("--model", "orders")


def test_tests_that_a_profile_proposes_are_written(own: Lab) -> None:
    path = own.root / "dbt_project" / "models" / "marts" / "my_orders.yml"
    path.write_text(
        "models:\n  - name: my_orders\n    columns:\n      - name: order_id  # mine\n"
        "        data_tests: [not_null]\n      - name: status\n        description: Where it is.\n"
    )
    sql = path.with_suffix(".sql")
    sql.write_text(
        MART.replace("amount,", "case when order_id = 7 then -1 else amount end as paid,")
    )
    assert own.run().status == "success"
    arguments = ["profile", "my_orders", "--project-dir", str(own.root), "--write-tests"]
    arguments += ["--set", f"data_dir={own.data_dir}"]
    before = path.read_text("utf-8")
    shown = CliRunner().invoke(app, [*arguments, "--dry-run"])
    assert "+      - name: customer_id" in shown.stdout, shown.output
    assert path.read_text("utf-8") == before
    written = CliRunner().invoke(app, arguments)
    assert written.exit_code == 0, written.output
    text = path.read_text("utf-8")
    assert "- name: order_id  # mine\n" in text
    (entry,) = yaml_editor.parse(text, path.name).data["models"]
    columns = {column["name"]: column.get("data_tests") for column in entry["columns"]}
    assert columns["customer_id"] == [
        {"relationships": {"arguments": {"to": "ref('customers')", "field": "customer_id"}}}
    ]
    assert columns["status"][0]["accepted_values"]["arguments"]["values"][0] == "completed"
    (law,) = columns["paid"] or []
    assert law["expect_column_values_to_be_between"] == {
        "arguments": {"min_value": 0},
        "config": {"severity": "warn"},
    }
    report = own.run("build")
    assert report.status == "success", "what fails today is a warning"
    assert report.build is not None
    assert report.build.count("warn", tests=True) == 1
    assert "no test to add" in CliRunner().invoke(app, arguments).stdout
