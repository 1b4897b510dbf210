"""Which models and columns are planned for a raw table, and their names."""

import hashlib
import re
from collections.abc import Mapping
from dataclasses import dataclass

from headrace.scaffold.raw_schema import (
    LIST_INDEX,
    LOAD_ID,
    PARENT_ID,
    ROOT_ID,
    ROW_ID,
    ColumnKind,
    RawColumnSchema,
    RawSchema,
    RawTableSchema,
)
from headrace.sql_text import identifier

MAX_NAME = 63  # bytes; Postgres cuts a longer name off

# Not to be read as a column without quotes, in DuckDB or in Postgres.
_TO_QUOTE = """
    all analyse analyze and anti any array as asc asof asymmetric at authorization binary both
    by case cast check collate collation column concurrently connect constraint create cross
    current_catalog current_date current_role current_schema current_time current_timestamp
    current_user default deferrable desc describe distinct do else end except false fetch for
    foreign freeze from full glob grant group having ilike in initially inner intersect into is
    isnull join lambda lateral leading left like limit localtime localtimestamp natural not
    notnull null offset on only or order outer overlaps pivot pivot_longer pivot_wider placing
    positional primary qualify references returning right select semi session_user show similar
    some summarize symmetric table tablesample then to trailing true union unique unpack unpivot
    user using variadic verbose when where window with
"""
TO_QUOTE = frozenset(_TO_QUOTE.split())
# Reserved in Redshift, Snowflake or Spark, besides: no name to give to a column.
_TO_AVOID = """
    aes128 aes256 allowexplicit alter backup between bytedict bzip2 columns connection
    credentials current database deflate defrag delete delta disable drop emptyasnull enable
    encode encrypt encryption exists explicit filter following generated globaldict256 gscluster
    gzip identity ignore increment insert interval issue lun luns lzo lzop map minus mostly13
    mostly32 mostly8 new nulls of off offline oid old open organization parallel partition
    percent permissions raw readratio recover regexp rejectlog resort respect restore revoke
    rlike row rows sample schema set snapshot start struct sysdate system tag tdes text255
    text32k timestamp top trigger truncatecolumns try_cast update values view wallet whenever
    without
"""
RESERVED = TO_QUOTE | frozenset(_TO_AVOID.split())

_SEPARATOR = re.compile("__|▶")  # between a table and its lists, by dlt's naming conventions
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")
_PLURALS = {
    "axes": "axis",
    "bonuses": "bonus",
    "buses": "bus",
    "caches": "cache",
    "calories": "calorie",
    "campuses": "campus",
    "children": "child",
    "cookies": "cookie",
    "indices": "index",
    "movies": "movie",
    "people": "person",
    "pies": "pie",
    "statuses": "status",
    "ties": "tie",
    "viruses": "virus",
}
_NO_PLURALS = {
    *("analytics", "bus", "canvas", "economics", "gas", "goods", "lens", "logistics", "news"),
    *("physics", "series", "species"),
}
_SAYS_BOOLEAN = re.compile(
    r"(is|has|had|was|were|can|could|should|will|would|may|must|do|does|did|are|allow|allows"
    r"|accepts|includes|needs|requires|uses|no|not)(_|$)"
)
_ADJECTIVE = re.compile(
    r"(ed|able|ible|active|inactive|test|valid|invalid|public|private|visible|hidden|primary|paid"
    r"|sent|open|new|virtual|digital|free|live|final|manual|automatic)"
)
_MOMENT = re.compile(r"(?P<event>[a-z0-9_]*[a-z0-9])_(timestamp|datetime|ts|tstamp)")
_EVENT_ON = re.compile(r"(?P<event>[a-z0-9_]*ed)(_(on|time|date_time))?")
_EVENT_DAY = re.compile(r"(?P<event>[a-z0-9_]*[a-z0-9])_(dt|day)|(?P<done>[a-z0-9_]*ed)(_on)?")


def is_plain(name: str) -> bool:
    """Whether a name needs no quotes in SQL."""
    return _PLAIN.fullmatch(name) is not None and name not in TO_QUOTE


def quoted_name(name: str) -> str:
    """A name as SQL needs it: ``order`` becomes ``"order"``."""
    return name if is_plain(name) else identifier(name)


def is_writable(name: str) -> bool:
    """Whether a name can be in a model at all: no Jinja, no line break, no control character."""
    has_jinja = any(mark in name for mark in ("{{", "{%", "{#", "}}", "%}", "#}"))
    return bool(name) and name.isprintable() and not has_jinja


def singular(name: str) -> str:
    """What a row of a table is: an ``order`` for ``raw_orders``; only the last word is singular."""
    head, mark, word = name.rpartition("_")
    if word in _NO_PLURALS or len(word) < 4:
        return name
    if word in _PLURALS:
        word = _PLURALS[word]
    elif word.endswith("ies"):
        word = word[:-3] + "y"
    elif word.endswith(("sses", "shes", "ches", "xes", "zzes")):
        word = word[:-2]
    elif word.endswith("s") and not word.endswith(("ss", "us", "is")):
        word = word[:-1]
    return f"{head}{mark}{word}"


def slug(name: str) -> str:
    """A name of lower case letters, digits and underscores, that begins with no digit."""
    text = re.sub(r"[^a-z0-9_]", "_", name.lower()).strip()
    return f"t_{text}" if not text or text[0].isdigit() else text


def entity_of(table: str) -> str:
    """What one row of a table is: ``orders__lines`` has lines; ``row`` if that is no word."""
    last = _SEPARATOR.split(table)[-1]
    plain = slug(last)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", last):
        return "row"
    return singular(plain.removeprefix("raw_") or plain)


def list_name(table: str, parent: str) -> str:
    """The list of the parent's rows that a child table is made of."""
    return _SEPARATOR.sub("", table.removeprefix(parent), count=1) or table


def model_name(source: str, table: str) -> str:
    """``stg_shop__orders`` of ``raw_orders``; short enough for every engine, and unique.

    A name that had to be bent ends in a part of its hash.
    """
    plain = slug(table)
    stem = plain.removeprefix("raw_") or plain
    name = f"stg_{source}__{stem}"
    if plain == table and len(name) <= MAX_NAME:
        return name
    mark = hashlib.sha256(table.encode()).hexdigest()[:8]
    return f"{name[: MAX_NAME - 9].rstrip('_')}_{mark}"


def output_names(table: str, columns: tuple[RawColumnSchema, ...]) -> dict[str, str]:
    """What a model calls the columns of a table, by their names in it.

    Every rule gives way where the name that it leads to is taken.
    """
    raw = {column.name.lower() for column in columns}
    found: dict[str, str] = {}
    taken: set[str] = set()
    for column in columns:
        wish = _wish(table, column)
        others = raw - {column.name.lower()}
        free = wish not in taken | others and len(wish.encode()) <= MAX_NAME
        found[column.name] = wish if free else column.name
        taken.add(found[column.name].lower())
    return found


def _wish(table: str, column: RawColumnSchema) -> str:
    """The name by the rules, if it were free."""
    name = column.name
    if name.startswith("_"):
        return {"_dlt_valid_from": "valid_from", "_dlt_valid_to": "valid_to"}.get(name, name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", name):
        return name
    name = _snake(name)
    if name == "id":
        return f"{entity_of(table)}_id"
    name = _by_kind(name, column)
    return f"{entity_of(table)}_{name}" if name in RESERVED else name


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name) if not name.isupper() else name
    return re.sub(r"[ -]+", "_", words.strip()).lower()


def _by_kind(name: str, column: RawColumnSchema) -> str:
    if column.data_type == "bool" and not _SAYS_BOOLEAN.match(name):
        says = _ADJECTIVE.fullmatch(name) or name.endswith(("ed", "able", "ible"))
        return f"is_{name}" if says else name
    if column.data_type == "timestamp":
        match = _MOMENT.fullmatch(name) or _EVENT_ON.fullmatch(name)
        return f"{match['event']}_at" if match else name
    if column.data_type == "date":
        match = _EVENT_DAY.fullmatch(name)
        return f"{match['event'] or match['done']}_date" if match else name
    return name


_ORDER: tuple[ColumnKind, ...] = ("id", "text", "number", "boolean", "date", "timestamp")
COMBINATION = "unique_combination_of_columns"

_OF_DLT: Mapping[str, str] = {
    LOAD_ID: "The dlt load that wrote the row last; refers to `_dlt_loads.load_id`.",
    ROW_ID: "dlt's key of the row; changes when the row is loaded again.",
    ROOT_ID: "The row of the root table that this one was nested in; refers to its `_dlt_id`.",
    LIST_INDEX: "Its place in the list, from 0.",
    "_dlt_valid_from": "Since when this version of the row holds.",
    "_dlt_valid_to": "Until when this version of the row held; null while it holds.",
}


@dataclass(frozen=True)
class GenericTest:
    """A generic test of a column, or of the whole model.

    Attributes:
        name: of the generic test.
        arguments: in YAML, one line each, in order.
        warns: whether its failure is a warning.
    """

    __test__ = False  # no test case, whatever pytest thinks of the name

    name: str
    arguments: tuple[tuple[str, str], ...] = ()
    warns: bool = False


@dataclass(frozen=True)
class ModelColumnPlan:
    """A column of a model.

    Attributes:
        column: of the raw table.
        name: of the model's column.
        kind: which group of the column order it belongs to.
        description: empty where nothing is known.
        tests: generic tests.
    """

    column: RawColumnSchema
    name: str
    kind: ColumnKind
    description: str
    tests: tuple[GenericTest, ...] = ()

    @property
    def sql(self) -> str:
        """Its item in the select list."""
        raw = quoted_name(self.column.name)
        return raw if self.name == self.column.name else f"{raw} as {quoted_name(self.name)}"

    @property
    def rank(self) -> int:
        """The position of its kind in the order of columns."""
        return _ORDER.index(self.kind)


@dataclass(frozen=True)
class ModelPlan:
    """The staging model of a table.

    Attributes:
        table: the raw table.
        name: of the model.
        ancestors: raw tables from the root down to the parent, by their names in dbt.
        grain: the sentence that says what a row is.
        columns: in the order of STYLE: ids, text, numbers, booleans, dates, timestamps.
        tests: of the model as a whole.
    """

    table: RawTableSchema
    name: str
    ancestors: tuple[RawTableSchema, ...]
    grain: str
    columns: tuple[ModelColumnPlan, ...]
    tests: tuple[GenericTest, ...] = ()

    def column(self, raw: str) -> ModelColumnPlan | None:
        """The column that is made of a raw one."""
        return next((plan for plan in self.columns if plan.column.name == raw), None)


def describe(column: RawColumnSchema, table: RawTableSchema) -> str:
    """What is known of a raw column: what the source says, or what dlt's own columns mean."""
    if column.name == PARENT_ID and table.parent is not None:
        return f"The row of `{table.parent}` whose list it is in; refers to its `_dlt_id`."
    if column.name in _OF_DLT:
        return _OF_DLT[column.name]
    if column.description:
        return column.description
    is_key = table.keeps_key_unique and table.primary_key == (column,)
    return f"The key of the {_words(entity_of(table.name))}." if is_key else ""


def grain(table: RawTableSchema) -> str:
    """The sentence that says what a row of a raw table is, as far as dlt guarantees it."""
    if table.description:
        return table.description
    if table.parent is not None:
        field = list_name(table.name, table.parent)
        return f"One row per item of the list `{field}` of a row of `{table.parent}`."
    key = table.primary_key
    if not key or not table.keeps_key_unique:
        return f"One row per row that dlt loaded into `{table.name}`."
    if len(key) == 1:
        return f"One row per {_words(entity_of(table.name))}."
    columns = [f"`{column.name}`" for column in key]
    return f"One row per {', '.join(columns[:-1])} and {columns[-1]}."


def plan_model(source: str, schema: RawSchema, table: RawTableSchema) -> ModelPlan:
    """The staging model of a table.

    Args:
        source: the dbt source.
        schema: all its tables.
        table: the raw table.
    """
    shown = tuple(column for column in table.columns if _is_shown(column, table, schema))
    outputs = output_names(table.name, shown)
    key = _key(table)
    columns = [
        ModelColumnPlan(
            column=column,
            name=outputs[column.name],
            kind=_kind(column, outputs[column.name], key),
            description=describe(column, table),
            tests=_tests(column, key, table),
        )
        for column in shown
    ]
    columns.sort(key=lambda plan: (plan.rank, plan.column.name not in key))
    return ModelPlan(
        table=table,
        name=model_name(source, table.name),
        ancestors=schema.ancestors(table),
        grain=grain(table),
        columns=tuple(columns),
        tests=_model_tests(key, outputs),
    )


def relationship(parent_model: str | None, source: str, parent_table: str) -> GenericTest:
    """The test that each row of a child table has its parent.

    Args:
        parent_model: the model that shows the parent's ``_dlt_id``; None when none does.
        source: the dbt source.
        parent_table: the parent's name in it.
    """
    raw = f"source('{jinja_text(source)}', '{jinja_text(parent_table)}')"
    to = f"ref('{parent_model}')" if parent_model else raw
    return GenericTest("relationships", (("to", to), ("field", ROW_ID)))


def jinja_text(name: str) -> str:
    """A name escaped for single quotes in Jinja."""
    return name.replace("\\", "\\\\").replace("'", "\\'")


def _is_shown(column: RawColumnSchema, table: RawTableSchema, schema: RawSchema) -> bool:
    """Whether a model shows a column: of dlt's own only those that tie rows together."""
    if not is_writable(column.name) or column.name in {LOAD_ID, ROOT_ID}:
        return False
    if column.name == ROW_ID:
        return table.parent is not None or schema.has_children(table) or not _natural_key(table)
    return True


def _natural_key(table: RawTableSchema) -> tuple[RawColumnSchema, ...]:
    return table.primary_key if table.keeps_key_unique and table.parent is None else ()


def _key(table: RawTableSchema) -> tuple[str, ...]:
    """The raw columns by which a row is found: the primary key, else dlt's row id."""
    natural = _natural_key(table)
    if natural:
        return tuple(column.name for column in natural)
    return (ROW_ID,) if table.column(ROW_ID) is not None else ()


def _kind(column: RawColumnSchema, output: str, key: tuple[str, ...]) -> ColumnKind:
    is_id = column.name in key or output.endswith("_id") or output in {"id", ROW_ID, PARENT_ID}
    return "id" if is_id else column.kind


def _tests(
    column: RawColumnSchema, key: tuple[str, ...], table: RawTableSchema
) -> tuple[GenericTest, ...]:
    is_key = column.name in key
    found = []
    repeats = column.is_unique and not table.keeps_key_unique and column.name != ROW_ID
    if key == (column.name,) or (column.is_unique and not repeats):
        found.append(GenericTest("unique"))
    if is_key or not column.is_nullable:
        found.append(GenericTest("not_null"))
    return tuple(found)


def _model_tests(key: tuple[str, ...], outputs: Mapping[str, str]) -> tuple[GenericTest, ...]:
    if len(key) < 2:
        return ()
    columns = ", ".join(yaml_name(quoted_name(outputs[name])) for name in key)
    return (GenericTest(COMBINATION, (("columns", f"[{columns}]"),)),)


def yaml_name(name: str) -> str:
    """A name as YAML 1.1 and 1.2 both read it as text."""
    import json

    plain = is_plain(name) or name.lower() in RESERVED
    reads_otherwise = {"y", "n", "yes", "no", "on", "off", "true", "false", "null"}
    if plain and name.isidentifier() and name.lower() not in reads_otherwise:
        return name
    return json.dumps(name, ensure_ascii=False)


def _words(entity: str) -> str:
    return entity.replace("_", " ").strip()
