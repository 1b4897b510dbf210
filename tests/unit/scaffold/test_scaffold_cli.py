"""``headrace scaffold`` as a person sees it."""

import json

from scaffold_bench import Bench
from typer.testing import CliRunner

from headrace.cli.main import app


def call(bench: Bench, *words: str) -> str:
    arguments = ["scaffold", "store", "--project-dir", str(bench.root), *words]
    result = CliRunner().invoke(app, arguments, catch_exceptions=False)
    assert result.exit_code == 0
    return result.output


def test_what_was_written_and_what_is_next(bench: Bench) -> None:
    first = call(bench)
    assert "+ models/staging/store/stg_store__orders__lines.sql\n" in first
    assert "32 columns to describe" in first
    assert first.endswith(
        "next: read what was written, describe it, commit it, and `headrace build`\n"
    )
    assert call(bench) == "nothing to write: 7 tables of store, 8 files as they were\n"


def test_what_is_new_what_vanished_and_what_is_to_do(done: Bench) -> None:
    done.edit("clicks.sql", "    from source\n", "    from source\n    inner join b on true\n")
    done.add_column("clicks", "[red]colour[/]")
    done.add_column("orders", "coupon")
    done.drop_column("orders", "total_amount")
    lines = call(done).splitlines()
    assert "~ models/staging/store/stg_store__orders.sql: column coupon" in lines
    text = " ".join("\n".join(lines).split())
    assert "! orders.total_amount is no longer in dlt's schema; it is named in " in text
    assert "read the new column [red]colour[/] of clicks" in text
    assert any(line.strip() == '"[red]colour[/]",' for line in lines)
    assert max(map(len, lines)) <= 100


def test_a_dry_run_prints_a_diff_and_writes_nothing(done: Bench) -> None:
    done.add_column("orders", "coupon")
    before = done.tree()
    text = call(done, "--dry-run")
    assert "+++ b/models/staging/store/stg_store__orders.sql\n" in text
    assert "+        coupon,\n" in text
    assert "nothing was written (--dry-run)" in text
    assert done.tree() == before


def test_json_is_the_report(done: Bench) -> None:
    done.add_column("orders", "coupon")
    expected = json.loads(done.scaffold(dry_run=True).model_dump_json())
    assert json.loads(call(done, "--json", "--dry-run")) == expected
    statuses = {file["path"].rpartition("/")[2]: file["status"] for file in expected["files"]}
    assert statuses["stg_store__orders.sql"] == "changed"
    assert statuses["stg_store__visits.sql"] == "unchanged"
