"""Contracts, tests of raw data and checks in Python stop bad data where it does harm."""

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from lab import ROOT, Lab, copy_project
from ruamel.yaml import YAML
from typer.testing import CliRunner

from headrace.cli.main import app
from headrace.pipeline.checking.contract import bring_in, check_file, export_contract
from headrace.pipeline.reports import RunReport

pytestmark = pytest.mark.slow

CHECKS = '''
import time
from headrace.pipeline.checking.audit import BuiltMarts, RawTables
from headrace.rules import rule


@rule
def payments_are_small(raw: RawTables, *, most: int = 0):
    """No payment is large."""
    ((large,),) = raw.query(
        "select count(*) from jaffle_shop_raw.raw_payments where amount > ?", most
    )
    if large:
        yield f"{large} payments of {len(raw.tables)} tables are above {most}"


@rule
def never_ends(build: BuiltMarts):
    """It goes on and on."""
    while True:
        time.sleep(0.01)


@rule
def asks_forever(build: BuiltMarts):
    """Its query goes on and on."""
    build.query("select count(*) from range(1000000000000) a, range(1000000) b")
    yield "never said"


@rule
def raises(build: BuiltMarts):
    """It is broken."""
    raise KeyError("gone")


@rule
def orders_are_many(build: BuiltMarts):
    """There are many orders."""
    ((orders,),) = build.query("select count(*) from marts.orders")
    yield f"there are only {orders} orders"
'''
FOUND = {
    "title": "payments_are_small",
    "said": "113 payments of 3 tables are above 0",
}
NO_MICHAEL = """\
            data_tests:
              - expect_column_values_to_not_be_in_set:
                  name: nobody_is_called_michael
                  arguments: {value_set: [Michael]}
"""
SWITCHED_OFF = [
    f"audit.checks.{name}=false"
    for name in ("payments_are_small", "never_ends", "asks_forever", "raises", "orders_are_many")
]


@pytest.fixture(scope="module")
def lab(tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """A project with contracts of a raw table and of a mart, and checks; run once, and good."""
    root = copy_project(tmp_path_factory.mktemp("checks") / "project")
    shutil.copytree(ROOT / "data" / "schemas", root / "data" / "schemas")
    (root / "my_checks.py").write_text(CHECKS)
    lab = Lab(root / "data", root).set('audit.modules=["my_checks"]', "audit.timeout=0.5")
    report = lab.set(*SWITCHED_OFF).run()
    assert report.status == "success", report.audit
    resolved = lab.resolved
    export_contract(resolved, "orders", out=root / "contracts" / "orders.yaml")
    export_contract(resolved, "jaffle_shop.raw_payments", out=root / "contracts" / "payments.yaml")
    return lab


def edit(path: Path, **changes: Any) -> None:
    """Put keys into the first table of a contract, or into the contract."""
    yaml = YAML(typ="safe", pure=True)
    data = yaml.load(path.read_text())
    data["schema"][0] |= changes.pop("table", {})
    data |= changes
    with path.open("w") as file:
        yaml.dump(data, file)


def test_an_export_says_what_the_project_says(lab: Lab) -> None:
    data = YAML(typ="safe").load((lab.root / "contracts" / "orders.yaml").read_text())
    (table,) = data["schema"]
    columns = {one["name"]: one for one in table["properties"]}
    assert columns["order_id"]["primaryKey"] is True
    assert columns["customer_id"]["relationships"] == [
        {"type": "foreignKey", "to": "customers.customer_id"}
    ]
    assert columns["amount"]["physicalType"] == "decimal(16,2)"
    assert columns["status"]["quality"][0]["metric"] == "invalidValues"
    assert table["quality"][0]["type"] == "sql"
    assert "${object}" in table["quality"][0]["query"]
    assert data["team"]["members"][0]["name"] == "Analytics"


def test_export_import_and_export_again_change_nothing(lab: Lab) -> None:
    resolved = lab.resolved
    path = lab.root / "contracts" / "orders.yaml"
    before = path.read_text()
    report = bring_in(resolved, path)
    assert [file.status for file in report.files] == ["unchanged"]
    assert report.by_hand == ()
    assert not export_contract(resolved, "orders", out=path).changed
    assert path.read_text() == before


def test_an_import_into_a_bare_yml_gives_the_same_tests(lab: Lab) -> None:
    """What was written by hand stays, with its comments; the rest comes from the contract."""
    yml = lab.root / "dbt_project" / "models" / "marts" / "orders.yml"
    whole = yml.read_text()
    yml.write_text(
        "# of mine\nmodels:\n  - name: orders\n    description: Mine.  # stays\n    columns:\n"
        "      - name: status\n        description: How far.\n"
    )
    try:
        report = bring_in(lab.resolved, lab.root / "contracts" / "orders.yaml")
        text = yml.read_text()
        assert report.by_hand == ()
        assert text.startswith("# of mine\n")
        assert "description: Mine.  # stays" in text
        (model,) = YAML(typ="safe").load(text)["models"]
        (meant,) = YAML(typ="safe").load(whole)["models"]
        assert model["config"]["contract"] == {"enforced": True}
        columns = {one["name"]: one for one in model["columns"]}
        assert columns.keys() == {one["name"] for one in meant["columns"]}
        for one in meant["columns"]:
            mine = columns[one["name"]]
            assert mine["data_type"] == one["data_type"]
            names = [name_of(test) for test in mine["data_tests"]]
            assert set(map(name_of, one.get("data_tests", []))) <= {*names}, one["name"]
        assert columns["customer_id"]["data_tests"][1] == {
            "relationships": {"arguments": {"to": "ref('customers')", "field": "customer_id"}}
        }
        assert [name_of(one) for one in model["data_tests"]] == ["expression_is_true"]
        again = bring_in(lab.resolved, lab.root / "contracts" / "orders.yaml")
        assert [file.status for file in again.files] == ["unchanged"]
    finally:
        yml.write_text(whole)


def name_of(test: Any) -> str:
    return test if isinstance(test, str) else next(iter(test))


def test_the_command_tests_a_file(lab: Lab, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(lab.root)
    found = CliRunner().invoke(app, ["contract", "test", "contracts/orders.yaml", "--json"])
    assert found.exit_code == 0, found.output
    assert json.loads(found.output)["promised_to"].startswith("Customer value (Analytics)")
    text = CliRunner().invoke(app, ["contract", "test", "contracts/payments.yaml"]).output
    assert "4 promises kept" in text
    missing = CliRunner().invoke(app, ["contract", "export", "ordres"])
    assert str(missing.exception) == "there is no table ordres; did you mean 'orders'?"


@pytest.fixture(scope="module")
def bad_raw(lab: Lab) -> RunReport:
    """Raw data that a contract, a test of a source and a check have something against."""
    contract = lab.root / "contracts" / "payments.yaml"
    yml = next((lab.root / "dbt_project").rglob("_jaffle_shop__sources.yml"))
    before = contract.read_text()
    rule = {"name": "few", "metric": "rowCount", "mustBeLessThan": 10}
    edit(contract, table={"quality": [rule]}, support=[{"channel": "#payments"}])
    text = yml.read_text()
    place = "          - name: first_name\n"
    assert place in text
    yml.write_text(text.replace(place, place + NO_MICHAEL, 1))
    try:
        off = [one for one in SWITCHED_OFF if "payments_are_small" not in one]
        return lab.set(*off, "audit.checks.payments_are_small.severity=warn").run()
    finally:
        contract.write_text(before)
        yml.write_text(text.replace(place, place + NO_MICHAEL.replace("Michael]", "Nobody]"), 1))


def statuses(report: RunReport) -> dict[str, str]:
    assert report.build is not None
    return {node.name: node.status for node in report.build.nodes}


def test_a_broken_contract_of_raw_data_blocks_what_depends_on_it(bad_raw: RunReport) -> None:
    built = statuses(bad_raw)
    assert bad_raw.status == "failed"
    assert "stg_jaffle_shop__payments" not in built
    assert "orders" not in built
    assert bad_raw.publish is None


def test_a_failed_test_of_a_source_blocks_what_depends_on_it(bad_raw: RunReport) -> None:
    built = statuses(bad_raw)
    assert built["stg_jaffle_shop__customers"] == "skipped"
    assert built["stg_jaffle_shop__orders"] == "success"


def test_rows_that_failed_are_kept_until_the_test_passes(lab: Lab, bad_raw: RunReport) -> None:
    """That a later run, in which it passes, empties the table is seen at the end."""
    assert bad_raw.build is not None
    (node,) = [one for one in bad_raw.build.nodes if one.name == "nobody_is_called_michael"]
    assert node.detail is not None
    assert "dbt_test__audit.nobody_is_called_michael" in node.detail.excerpt
    assert node.detail.rows
    assert node.failures == len(node.detail.rows)


def test_a_broken_promise_names_who_relies_on_it(bad_raw: RunReport) -> None:
    assert bad_raw.audit is not None
    (broken,) = [one for one in bad_raw.audit.problems if one.startswith("contract ")]
    assert broken == (
        "contract raw_payments: jaffle_shop_raw.raw_payments: few: it is 113, promised less than "
        "10; promised to Customer value (Analytics), data_platform, support #payments; not built: "
        "customers, int_payments_pivoted_to_orders, orders, stg_jaffle_shop__payments"
    )


def test_a_check_of_raw_data_asks_the_tables_and_only_warns(bad_raw: RunReport) -> None:
    assert bad_raw.build is not None
    (node,) = [node for node in bad_raw.build.nodes if node.resource_type == "check"]
    assert (node.status, node.message) == ("warn", FOUND["said"])


@pytest.fixture(scope="module")
def bad_marts(lab: Lab, bad_raw: RunReport) -> RunReport:
    """Marts that a contract and checks have something against, after a good build."""
    del bad_raw  # first
    contract = lab.root / "contracts" / "orders.yaml"
    before = contract.read_text()
    promises: list[dict[str, Any]] = [
        {"property": "latency", "value": 2, "unit": "d", "element": "orders.order_date"},
        {"property": "retention", "value": 1, "unit": "y", "element": "orders.order_date",
         "customProperties": [{"property": "severity", "value": "error"}]},
    ]  # fmt: skip
    edit(contract, slaProperties=promises)
    raw = lab.root / "contracts" / "payments.yaml"
    before_raw = raw.read_text()
    edit(raw, slaProperties=[{"property": "freshness", "value": 0, "unit": "min"}])
    (lab.root / "contracts" / "broken.yaml").write_text("kind: DataContract\n")
    try:
        return lab.set("audit.checks.payments_are_small=false").run()
    finally:
        contract.write_text(before)
        raw.write_text(before_raw)
        (lab.root / "contracts" / "broken.yaml").unlink()


def test_everything_that_is_wrong_is_told_in_one_line_each(bad_marts: RunReport) -> None:
    assert bad_marts.audit is not None
    problems = bad_marts.audit.problems
    assert bad_marts.status == "failed"
    assert bad_marts.publish is None
    assert [one for one in problems if "\n" in one] == []
    for words in (
        r"broken.yaml is no contract",
        r"contract orders: .*retention 1 y: the oldest is of",
    ):
        assert any(re.search(words, one) for one in problems), (words, problems)
    assert any("latency 2 d: the newest is of" in note for note in bad_marts.notes)
    raw = "contract raw_payments: jaffle_shop_raw.raw_payments: freshness 0 min: the newest is of"
    assert any(note.startswith(raw) for note in bad_marts.notes), "by dlt's record of loads"


def test_a_check_that_raises_or_never_ends_leaves_the_others(
    lab: Lab, bad_marts: RunReport
) -> None:
    """The files are as they were, so that nothing but the checks is against publishing."""
    del bad_marts  # before
    report = lab.set(
        "audit.checks.payments_are_small=false", "audit.checks.orders_are_many.severity=warn"
    ).run()
    assert report.audit is not None
    assert report.audit.problems == (
        "the check never_ends took more than 0.5 s, and was stopped",
        "the check asks_forever took more than 0.5 s, and was stopped",
        "the check raises failed at my_checks.py line 34: KeyError: 'gone'",
    )
    assert "there are only 99 orders" in report.notes
    kept = lab.query("select count(*) from dbt_test__audit.nobody_is_called_michael")
    assert kept == [(0,)]


def test_a_contract_of_a_table_that_is_not_there(lab: Lab, tmp_path: Path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("kind: DataContract\napiVersion: v3.0.0\nid: x\nschema:\n  - name: nothing\n")
    report = check_file(lab.resolved, path)
    assert not report.passed
    assert report.checks[0].said == "there is no table nothing"
    (left,) = bring_in(lab.resolved, path).by_hand
    assert "write a model nothing first" in left.what
