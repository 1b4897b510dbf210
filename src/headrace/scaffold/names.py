"""Names: of a model and its columns, by Headrace's conventions where that is safe."""

import hashlib
import re

from headrace.scaffold.raw_schema import RawColumn
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


def quoted(name: str) -> str:
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


def entity(table: str) -> str:
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


def output_names(table: str, columns: tuple[RawColumn, ...]) -> dict[str, str]:
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


def _wish(table: str, column: RawColumn) -> str:
    """The name by the rules, if it were free."""
    name = column.name
    if name.startswith("_"):
        return {"_dlt_valid_from": "valid_from", "_dlt_valid_to": "valid_to"}.get(name, name)
    if not re.fullmatch(r"[A-Za-z][A-Za-z0-9_ -]*", name):
        return name
    name = _snake(name)
    if name == "id":
        return f"{entity(table)}_id"
    name = _by_kind(name, column)
    return f"{entity(table)}_{name}" if name in RESERVED else name


def _snake(name: str) -> str:
    words = re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", name) if not name.isupper() else name
    return re.sub(r"[ -]+", "_", words.strip()).lower()


def _by_kind(name: str, column: RawColumn) -> str:
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
