"""``headrace lineage`` as it is called, over a stored catalog and a small warehouse."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from headrace.catalog import Asset, Catalog, Column, ColumnLineageProblem, RunStore
from headrace.cli.main import main
from headrace.cli.render_lineage import VerifyScreen
from headrace.lineage.columns import column_lineage
from headrace.lineage.verify.report import AgreementScore, ColumnPair, VerifyReport
from headrace.pipeline import lock

ROOT = Path(__file__).parents[3]
MODELS = {
    "stg": ("table.s_raw.people", "select id, mail as email, kind from warehouse.s_raw.people"),
    "people": ("model.p.stg", "select id, email from warehouse.staging.stg where kind <> 'x'"),
    "kinds": ("model.p.stg", "select kind, count(*) as n from warehouse.staging.stg group by 1"),
    "odd.\u202ename": ("model.p.stg", "select id from warehouse.staging.stg"),
}


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A data directory with a warehouse, and a run store that knows its catalog."""
    folder = tmp_path_factory.mktemp("data")
    with duckdb.connect(str(folder / "warehouse.duckdb")) as connection:
        connection.execute("create schema s_raw")
        connection.execute(
            "create table s_raw.people as "
            "select range as id, range || '@a.example' as mail, "
            "if(range % 3 = 0, 'x', 'y') as kind from range(12)"
        )
    store = RunStore(f"sqlite:///{folder / 'headrace.sqlite'}")
    store.save_catalog(_catalog(), None)
    store.close()
    return folder


def _catalog() -> Catalog:
    raw = Asset(
        id="table.s_raw.people", kind="table", name="people", schema="s_raw", identifier="people",
        database="warehouse",
        columns=(Column("id"), Column("mail", pii="email"), Column("kind")),
    )  # fmt: skip
    assets: dict[str, Asset] = {raw.id: raw}
    parents: dict[str, tuple[str, ...]] = {raw.id: ()}
    for name, (parent, sql) in MODELS.items():
        asset = Asset(
            id=f"model.p.{name}", kind="model", name=name, database="warehouse",
            schema="staging" if name == "stg" else "marts", identifier=name, compiled_code=sql,
            columns=(Column("email", pii="email"),) if "email" in sql else (),
            owners=("Analytics",),
        )  # fmt: skip
        assets[asset.id], parents[asset.id] = asset, (parent,)
    for name in ("one", "two"):
        twin = Asset(id=f"table.{name}.twin", kind="table", name="twin")
        assets[twin.id], parents[twin.id] = twin, ()
    board = Asset(id="exposure.p.board", kind="exposure", name="Board", owners=("Sales",))
    assets[board.id], parents[board.id] = board, ("model.p.people",)
    catalog = Catalog(assets, parents)
    found = column_lineage(catalog, dialect="duckdb")
    return replace(
        catalog,
        column_edges=found.edges,
        problems=(*found.problems, ColumnLineageProblem("model.p.kinds", "a doubt")),
        lookups=found.lookups,
    )


def _call(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path, *words: str
) -> tuple[int, str, str]:
    for name in [name for name in os.environ if name.startswith("HEADRACE_")]:
        monkeypatch.delenv(name)
    flags = ["--project-dir", str(ROOT), "--set", f"data_dir={data}"]
    monkeypatch.setattr(sys, "argv", ["headrace", "lineage", *words, *flags])
    with pytest.raises(SystemExit) as caught:
        main()
    printed = capsys.readouterr()
    code = caught.value.code
    return int(code or 0), printed.out, printed.err


class Command:
    """The command in this process."""

    def __init__(
        self, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path
    ) -> None:
        self._fixtures = (capsys, monkeypatch)
        self.data = data

    def __call__(self, *words: str, data: Path | None = None) -> tuple[int, str, str]:
        return _call(*self._fixtures, data or self.data, *words)


@pytest.fixture
def lineage(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, data: Path
) -> Command:
    return Command(capsys, monkeypatch, data)


def test_a_column_is_a_tree_that_says_how_and_marks_personal_data(lineage: Command) -> None:
    code, out, err = lineage("people.email")
    assert (code, err) == (0, "")
    assert out == (
        "people.email  model  marts.people  PII\n"
        "upstream\n"
        "├─ stg.email  model  copied  PII\n"
        "│  └─ people.mail  table  renamed to email  PII\n"
        "└─ rows of people  model\n"
        "   └─ stg.kind  model  filtered (indirect)\n"
        "      └─ people.kind  table  copied\n"
        "downstream\n"
        "└─ Board  exposure  reads\n"
        "(indirect): no value flows, but it decides the value, or which rows there are\n"
    )


def test_a_node_shared_by_two_ways_is_referred_to_and_depth_ends_it(lineage: Command) -> None:
    _, out, _ = lineage("s_raw.people.kind", "--downstream")
    assert out.count("Board  exposure") == 1
    assert "not read, so the graph may lack what leads through:" in out
    assert "model.p.kinds: a doubt" in out
    code, out, _ = lineage("s_raw.people", "--downstream", "--depth", "1")
    assert code == 0
    assert "people  model" not in out
    assert "there is more beyond 1 asset (--depth)" in out


def test_direct_leaves_out_what_only_decides(lineage: Command) -> None:
    _, out, _ = lineage("people.email", "--upstream", "--direct")
    assert "kind" not in out
    assert "indirect" not in out


def test_json_is_the_graph(lineage: Command) -> None:
    code, out, _ = lineage("people.email", "--upstream", "--json")
    graph = json.loads(out)
    assert code == 0
    assert graph["root"] == "model.p.people"
    assert {"parent": "table.s_raw.people", "parent_column": "mail", "child": "model.p.stg",
            "child_column": "email", "kind": "renamed"} in graph["links"]  # fmt: skip


def test_what_steers_a_terminal_is_written_out(lineage: Command) -> None:
    _, out, _ = lineage("stg", "--downstream")
    assert "odd.\\u202ename  model" in out
    assert "\u202e" not in out
    assert lineage("odd.\u202ename.id")[0] == 0


def test_impact_names_what_breaks_and_whom_to_tell(lineage: Command) -> None:
    code, out, _ = lineage("s_raw.people.kind", "--impact")
    assert code == 0
    assert "breaks: 1; dbt skips 3 more downstream" in out
    assert "stg  model  its SQL names it" in out
    assert "Board  exposure  Sales" in out
    assert "Analytics  3 assets" in out
    report = json.loads(lineage("stg", "--impact", "--json")[1])
    assert [item["name"] for item in report["breaks"]] == ["kinds", "odd.\u202ename", "people"]


def test_the_proof_passes_and_fails_by_its_exit_code(lineage: Command, tmp_path: Path) -> None:
    code, out, err = lineage("--verify")
    assert (code, err) == (0, "")
    assert "3 columns of 1 raw table perturbed, 4 models" in out
    assert "✓ all that changed is claimed" in out
    wrong = _catalog()
    edges = [e for e in wrong.column_edges if (e.child, e.child_column) != ("model.p.stg", "email")]
    store = RunStore(f"sqlite:///{tmp_path / 'headrace.sqlite'}")
    store.save_catalog(replace(wrong, column_edges=tuple(edges), problems=()), None)
    store.close()
    (tmp_path / "warehouse.duckdb").write_bytes((lineage.data / "warehouse.duckdb").read_bytes())
    code, out, _ = lineage("--verify", "people", data=tmp_path)
    assert code == 1
    assert "  s_raw.people.mail → people.email\n    when it was changed by rotate" in out
    code, out, _ = lineage("--verify", "people", "--json", "--rows", "5", data=tmp_path)
    assert code == 1
    assert json.loads(out)["all"]["missed"] == 2


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ((), "name one node"),
        (("people", "stg"), "2 were given"),
        (("poeple",), "did you mean people?"),
        (("people.emial",), "it has email"),
        (("twin",), "names 2 nodes, say which: table.one.twin (table), table.two.twin (table)"),
        (("people", "--upstream", "--downstream"), "exclude each other"),
        (("people", "--direct"), "goes with a column"),
        (("people", "--impact", "--depth", "2"), "--depth does not go with --impact"),
        (("--verify", "--upstream"), "--upstream does not go with --verify"),
        (("people", "--rows", "9"), "--rows means nothing without --verify"),
        (("--verify", "nothing"), "no node 'nothing'"),
        (("--verify", "Board"), "exposure Board is not part of the check"),
    ],
)
def test_a_wrong_call_is_one_line_and_exit_code_2(
    lineage: Command, words: tuple[str, ...], message: str
) -> None:
    code, out, err = lineage(*words)
    assert (code, out) == (2, "")
    assert message in err
    assert err.count("\n") == 1


def test_without_a_run_or_its_data_it_says_what_to_run(lineage: Command, tmp_path: Path) -> None:
    code, _, err = lineage("people", data=tmp_path)
    assert code == 2
    assert "headrace run" in err
    (tmp_path / "headrace.sqlite").write_bytes((lineage.data / "headrace.sqlite").read_bytes())
    code, _, err = lineage("--verify", data=tmp_path)
    assert code == 2
    assert "there is no data to check against" in err
    assert not (tmp_path / "warehouse.duckdb").exists()


def test_a_run_that_holds_the_warehouse_is_waited_for_by_the_user(lineage: Command) -> None:
    with lock.hold_file(lineage.data / "warehouse.duckdb.lock", "headrace run"):
        code, out, err = lineage("--verify")
    assert (code, out) == (2, "")
    assert "another run holds the warehouse: `headrace run`" in err


def test_a_reader_that_has_gone_ends_it_quietly(lineage: Command) -> None:
    command = [sys.executable, "-m", "headrace", "lineage", "stg", "--set",
               f"data_dir={lineage.data}", "--project-dir", str(ROOT)]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert process.stdout is not None
    assert process.stderr is not None
    process.stdout.close()
    words = process.stderr.read().decode()
    process.stderr.close()
    assert process.wait(300) != 0
    assert words == ""


def test_indirect_claims_that_never_changed_are_counted_by_raw_column(
    capsys: pytest.CaptureFixture[str],
) -> None:
    columns = ("_dlt_load_id", "_dlt_load_id", "id", "status", "kind", "day", "ratio")
    pairs = [
        ColumnPair(raw="table.s_raw.people", raw_column=name, asset="model.p.people",
                   column=f"c{at}", claim="indirect")
        for at, name in enumerate(columns)
    ]  # fmt: skip
    score = AgreementScore(
        columns=7, changed=0, claimed=7, confirmed=0, missed=0, direct=0, direct_confirmed=0,
        recall=1.0, precision=0.0, precision_direct=None,
    )  # fmt: skip
    report = VerifyReport(
        ok=True, rows=10, sampled=(), raw_tables=1, models=1, perturbed=6, idle=(), builds=7,
        seconds=1.0, all=score, marts=None, missed=(), unread=(), never_changed=tuple(pairs),
        unstable=(), failures=(), notes=(), columns=(),
    )  # fmt: skip
    VerifyScreen(quiet=True).summary(report)
    out = " ".join(capsys.readouterr().out.split())
    assert "7 indirect claims never changed: what may decide a value or a row" in out
    assert "of people._dlt_load_id (2), people.id (1)" in out
    assert out.count("(1)") == 3
    assert "and 2 more" in out
