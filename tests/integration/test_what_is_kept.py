"""Each cell of ``docs/explanation/what-is-kept.md``: one load for each way in."""

import csv
import io
from collections.abc import Iterator, Mapping
from pathlib import Path

import api_lab
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from lab import Lab, Shop
from sqlalchemy import NullPool, create_engine, make_url
from what_is_kept import LATER, ODD, PAGE, VALUES, WAYS, Odd, Value, cell, with_tables

from headrace.add import AddRequest
from headrace.errors import SourceError
from headrace.ingest import stage
from headrace.ingest.rest import ApiResource
from postgres_lab import postgres
from rest_lab import Reply, RestLab, serve

Cells = Mapping[str, str]
FILES = ("csv", "bulk", "jsonl", "parquet")
_TABLES = "{t: {pattern: '*', primary_key: [id]}}"


def test_the_page_has_the_tables_of_the_tests() -> None:
    page = PAGE.read_text("utf-8")
    assert page == with_tables(page), f"run `uv run python {Path(__file__).parent}/what_is_kept.py`"


def _taken(way: str) -> tuple[Value, ...]:
    """The values that a way in does not refuse."""
    return tuple(value for value in VALUES if value.kept[way] != "refused")


def _cells(lab: Lab, schema: str, way: str, path: Path | None = None) -> Cells:
    """What each value has become, in the words of the page; ``path``: in another file."""
    types = {name: kind for name, kind, *_ in lab.query(f"describe {schema}.t", path=path)}
    tables = lab.query("select table_name from information_schema.tables", path=path)
    made = {name for (name,) in tables}
    found: dict[str, str] = {}
    for value in _taken(way):
        name = value.column
        if f"t__{name}" in made:
            found[value.kind] = "a child table"
        elif any(column.startswith(f"{name}__") for column in types):
            found[value.kind] = "a column for each field"
        else:
            select = f'select "{name}"::varchar from {schema}.t'
            kept = lab.query(select, path=path) if name in types else [(None,)]
            found[value.kind] = cell(value, types.get(name), kept[0][0])
    return found


def _write(folder: Path, way: str) -> None:
    """A file with a row of all values."""
    names = ["id", *(value.column for value in _taken(way))]
    if way == "parquet":
        arrays = [
            pa.array([value.text]) if value.parquet is None else value.parquet
            for value in _taken(way)
        ]
        pq.write_table(pa.table([pa.array([1]), *arrays], names=names), folder / "t.parquet")
    elif way == "jsonl":
        fields = ", ".join(f'"{value.column}": {value.json_text}' for value in VALUES)
        (folder / "t.jsonl").write_text(f'{{"id": 1, {fields}}}\n', "utf-8")
    else:
        _csv(folder / "t.csv", names, ["1", *(value.text for value in VALUES)])


def _csv(path: Path, *rows: list[str]) -> None:
    written = io.StringIO()
    csv.writer(written, lineterminator="\n").writerows(rows)
    path.write_bytes(written.getvalue().encode())


@pytest.fixture(scope="module")
def of_files(tmp_path_factory: pytest.TempPathFactory) -> Mapping[str, Cells]:
    """Way to what became of each value, of the ways that read files."""
    found: dict[str, Cells] = {}
    for way in FILES:
        place = tmp_path_factory.mktemp(way)
        folder = place / "files"
        folder.mkdir()
        _write(folder, way)
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stage, "BULK_BYTES", 0 if way == "bulk" else 1 << 40)
            if way == "bulk":
                patch.setattr(stage._Stager, "run", None)  # the thorough way would fail
            lab = Shop(Lab(place / "data"), folder).lab_with(_TABLES)
            lab.load()
        found[way] = _cells(lab, "store_raw", way)
    return found


@pytest.mark.parametrize(
    ("way", "value"),
    [pytest.param(way, one, id=f"{way} {one.kind}") for way in FILES for one in _taken(way)],
)
def test_what_a_file_gives_is_kept(of_files: Mapping[str, Cells], way: str, value: Value) -> None:
    assert of_files[way][value.kind] == value.kept[way]


@pytest.mark.parametrize("nested", [False, True])
def test_what_parquet_cannot_give_is_refused(shop: Shop, nested: bool) -> None:
    for value in VALUES:
        if value.kept["parquet"] == "refused":
            wide = value.parquet
            assert wide is not None
            column = pa.array([{"x": [wide[0]]}]) if nested else wide
            pq.write_table(pa.table({"id": [1], "wide": column}), shop.folder / "t.parquet")
            with pytest.raises(SourceError, match=r"t\.parquet: column wide has the type decimal"):
                shop.lab_with(_TABLES).load()


@pytest.fixture(scope="module")
def of_rest(tmp_path_factory: pytest.TempPathFactory) -> Cells:
    """What became of each value of an API."""
    lab = RestLab(tmp_path_factory.mktemp("rest"))
    fields = ", ".join(f'"{value.column}": {value.json_text}' for value in _taken("rest"))
    with serve(lambda _: Reply(f'[{{"id": 1, {fields}}}]'.encode())) as api:
        lab.load(api.url, {"t": ApiResource()})
    return _cells(Lab(lab.folder), "crm_raw", "rest", path=lab.folder / "crm.duckdb")


@pytest.mark.parametrize("value", _taken("rest"), ids=lambda value: value.kind)
def test_what_an_api_gives_is_kept(of_rest: Cells, value: Value) -> None:
    assert of_rest[value.kind] == value.kept["rest"]


@pytest.fixture(scope="module")
def sql(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Lab]:
    """A lab whose source reads a PostgreSQL with a row of all values."""
    place = tmp_path_factory.mktemp("sql")
    with postgres(tmp_path_factory) as running, pytest.MonkeyPatch.context() as patch:
        url = make_url(running.get_uri()).set(drivername="postgresql+psycopg")
        with create_engine(url, poolclass=NullPool).begin() as connection:
            items = ", ".join(f"{_literal(value)} as {value.column}" for value in VALUES)
            connection.exec_driver_sql(f"create table t as select 1 as id, {items}")
        project = api_lab.project(place)
        api_lab.added(project, AddRequest(name="crm", kind="sql_database"))
        shown = url.render_as_string(hide_password=False)
        lab = Lab(place / "data", project.root, (f"sources.crm.url={shown}",))
        api_lab.use_pipelines(patch, lab)
        yield lab


def _literal(value: Value) -> str:
    return value.sql or "'" + value.text.replace("'", "''") + "'::text"


@pytest.fixture(scope="module")
def of_sql(sql: Lab) -> Cells:
    lab = sql.set('sources.crm.tables={"t": {}}')
    lab.load("crm")
    return _cells(lab, "crm_raw", "sql")


@pytest.mark.parametrize("value", _taken("sql"), ids=lambda value: value.kind)
def test_what_a_database_gives_is_kept(of_sql: Cells, value: Value) -> None:
    assert of_sql[value.kind] == value.kept["sql"]


@pytest.mark.parametrize("way", ["csv", "jsonl"])
def test_a_later_value_is_kept_or_goes_to_the_quarantine(shop: Shop, way: str) -> None:
    names = ["id", *(f"v{number:02}" for number in range(len(LATER)))]
    lab = shop.lab_with(_TABLES, schema_contract="{data_type: discard_value}")
    for number, rows in enumerate(([later.column for later in LATER], [x.value for x in LATER])):
        if way == "csv":
            _csv(shop.folder / f"t{number}.csv", names, [str(number), *rows])
        else:
            fields = ", ".join(
                f'"{name}": {_json(text)}' for name, text in zip(names[1:], rows, strict=True)
            )
            shop.write(f"t{number}.jsonl", f'{{"id": {number}, {fields}}}\n')
        lab.load()
    columns = ", ".join(f"{name}::varchar" for name in names[1:])
    ((*kept,),) = lab.query(f"select {columns} from store_raw.t where id = 1")
    expected = [None if later.kept in {None, "null"} else later.kept for later in LATER]
    assert kept == expected
    (row,) = lab.query("select row_json::varchar from store_raw._quarantine")
    lost = [later.value for later in LATER if later.kept is None and later.value not in row[0]]
    assert lost == [], row[0]


def _json(text: str) -> str:
    """A number or a boolean as such, where JSON has it so; nothing as null."""
    if not text:
        return "null"
    if len(text) > 16:
        return f'"{text}"'  # the quarantine would have it in the digits of a double
    plain = text == "true" or (text[0] in "123456789" and text.replace(".", "", 1).isdigit())
    return text if plain else f'"{text}"'


def _becomes(lab: Lab) -> str:
    """What becomes of a file, in the words of the page; columns are without the key."""
    try:
        lab.load()
    except SourceError:
        return "the load stops"
    made = lab.query("select table_name from information_schema.tables")
    if ("_quarantine",) in made:
        return f"quarantine: {', '.join(sorted({row[3] for row in lab.quarantine()}))}"
    columns = sorted(set(lab.schema("store_raw.t")) - {"id"})
    values = lab.query(f"select {', '.join(columns)} from store_raw.t")
    assert None not in values[0]
    return f"columns {', '.join(columns)}"


@pytest.mark.parametrize("odd", ODD, ids=lambda odd: odd.kind)
def test_what_is_odd_in_a_file_is_kept_or_told(shop: Shop, odd: Odd) -> None:
    shop.write(odd.name, odd.content)
    assert _becomes(shop.lab_with(_TABLES)) == odd.becomes


def test_every_way_has_a_cell_of_every_value() -> None:
    assert [value.kind for value in VALUES if not WAYS.keys() <= value.kept.keys()] == []
    assert len({value.kind for value in VALUES}) == len(VALUES) > 30
