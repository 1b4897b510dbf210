"""COPY and UNLOAD of Redshift: their options, as far as the stand-in carries them out.

What an option asks for is done, or the statement is refused with the option's name.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol

from headrace.sql_text import identifier, literal

LOCAL_ROLE = "arn:aws:iam::000000000000:role/headrace-local"
"""The role that may read and write the bucket; others are named when the stand-in starts."""

_IGNORED = {"statupdate", "compupdate", "region", "roundec", "explicit_ids", "noload", "readratio"}
_FORMATS = {"csv", "json", "parquet", "avro", "orc", "shapefile"}
_COMPRESSED = {"gzip": "gzip", "zstd": "zstd", "bzip2": "bzip2", "lzop": "lzop"}


class RefusedError(Exception):
    """What the stand-in does not do, or Redshift would not.

    Attributes:
        message: what the client is told.
        code: SQLSTATE; ``0A000`` is what is not supported.
        hint: what to do instead.
    """

    def __init__(self, message: str, code: str = "0A000", hint: str = "") -> None:
        super().__init__(message)
        self.message, self.code, self.hint = message, code, hint


@dataclass(frozen=True)
class BucketAccess:
    """Who reads or writes the bucket.

    Attributes:
        role: an ARN, or ``default``; None with a key.
        key_id: of an access key that the statement names.
        secret: of the access key.
        token: of a session.
    """

    role: str | None = None
    key_id: str | None = None
    secret: str | None = None
    token: str | None = None


@dataclass(frozen=True)
class Copy:
    """``COPY table FROM 's3://…'``.

    Attributes:
        table: its name as in SQL, schema included where it was given.
        columns: that were named; empty for all.
        url: a prefix of keys, or a manifest.
        access: who reads.
        format: ``parquet``, ``json``, ``csv``, or ``text`` with a delimiter.
        options: further ones by name, such as ``delimiter``.
        max_errors: rows that may be bad: as many, or more, fail the load; 0 counts as 1.
    """

    table: tuple[str, ...]
    columns: tuple[str, ...]
    url: str
    access: BucketAccess
    format: str
    options: dict[str, str] = field(default_factory=dict)
    max_errors: int = 1

    @property
    def name(self) -> str:
        """The table's, for people."""
        return ".".join(self.table)

    def sql(self) -> str:
        """PostgreSQL's part: rows come from the stand-in."""
        table = ".".join(identifier(part) for part in self.table)
        columns = ", ".join(identifier(column) for column in self.columns)
        listed = f" ({columns})" if columns else ""
        return f"copy {table}{listed} from stdin with (format csv, null '\\N')"

    def columns_sql(self) -> str:
        """A query for the columns to be loaded, in order, and their types."""
        table = ".".join(identifier(part) for part in self.table)
        wanted = [f"({literal(name)}, {at})" for at, name in enumerate(self.columns)]
        chosen = (
            f"join (values {', '.join(wanted)}) as w (name, at) on w.name = a.attname"
            if wanted
            else "cross join (select 0) as w (at)"
        )
        return (
            "select a.attname, format_type(a.atttypid, a.atttypmod) "
            f"from pg_catalog.pg_attribute as a {chosen} "
            f"where a.attrelid = {literal(table)}::regclass and a.attnum > 0 "
            f"and not a.attisdropped {'' if wanted else _NO_IDENTITY} order by w.at, a.attnum"
        )


_NO_IDENTITY = "and a.attidentity = ''"


@dataclass(frozen=True)
class Unload:
    """``UNLOAD ('select …') TO 's3://…'``.

    Attributes:
        select: in PostgreSQL's SQL.
        url: a prefix of the keys that are written.
        access: who writes.
        format: ``parquet``, ``json``, ``csv`` or ``text``.
        options: further ones by name.
    """

    select: str
    url: str
    access: BucketAccess
    format: str
    options: dict[str, str] = field(default_factory=dict)

    def sql(self) -> str:
        """PostgreSQL's part: rows go to the stand-in."""
        return f"copy ({self.select}) to stdout with (format csv, null '\\N', force_quote *)"


class FileWork(Protocol):
    """What reads and writes the files of COPY and UNLOAD; its methods may block."""

    def read(self, copy: Copy, columns: list[tuple[str, str]]) -> Path:
        """Read files as CSV that PostgreSQL loads.

        Raises:
            RefusedError: a file, a role or a row is at fault.
        """

    def write(self, unload: Unload, columns: list[tuple[str, int, int]], rows: Path) -> None:
        """Write rows, which are in a CSV file of PostgreSQL's, to the bucket.

        Raises:
            RefusedError: they cannot be written.
        """

    def scratch(self) -> Path:
        """A new temporary file, which whoever asks for it removes."""


_TOKEN = re.compile(
    r"'((?:[^'\\]|''|\\.)*)'|\"((?:[^\"]|\"\")*)\"|([\w#$-][\w.#$-]*)|(\S)", re.DOTALL
)


def _tokens(sql: str) -> Iterator[tuple[str, str]]:
    """Kind (``text``, ``name``, ``word``, ``sign``) and value, unquoted."""
    sql = re.sub(r"/\*.*?\*/|--[^\n]*", " ", sql, flags=re.DOTALL) if "'" not in sql[:20] else sql
    for found in _TOKEN.finditer(sql):
        text, name, word, sign = found.groups()
        if text is not None:
            plain = re.sub(r"\\(.)", lambda one: _ESCAPES.get(one[1], one[1]), text)
            yield "text", plain.replace("''", "'")
        elif name is not None:
            yield "name", name.replace('""', '"').lower()
        elif word is not None:
            yield "word", word.lower()
        elif sign != ";":
            yield "sign", sign


_ESCAPES = {"t": "\t", "n": "\n", "r": "\r"}


class _Reader:
    """Reads tokens one by one; what is not expected is refused."""

    def __init__(self, sql: str, command: str) -> None:
        self.tokens = list(_tokens(sql))
        self.at, self.command = 0, command

    def peek(self, ahead: int = 0) -> tuple[str, str]:
        """The next token; ``end`` where there is none."""
        at = self.at + ahead
        return self.tokens[at] if at < len(self.tokens) else ("end", "")

    def next(self, *kinds: str) -> str:
        """The next token's value.

        Raises:
            RefusedError: it is of another kind.
        """
        kind, value = self.peek()
        if kinds and kind not in kinds:
            raise RefusedError(f'syntax error at or near "{value}" in {self.command}', "42601")
        self.at += 1
        return value

    def skip(self, *words: str) -> bool:
        """Whether these words come next, which are then read."""
        if [self.peek(ahead) for ahead in range(len(words))] != [("word", w) for w in words]:
            return False
        self.at += len(words)
        return True

    def names(self) -> tuple[str, ...]:
        """``a, b)``, of which the bracket is read."""
        found = [self.next("word", "name")]
        while self.next("sign") == ",":
            found.append(self.next("word", "name"))
        return tuple(found)

    def text(self) -> str:
        """A text, behind an optional AS."""
        self.skip("as")
        return self.next("text")

    def authorization(self) -> BucketAccess | None:
        """``IAM_ROLE …`` and its kin; None if something else comes."""
        if self.skip("iam_role"):
            if self.skip("default"):
                return BucketAccess(role="default")
            return BucketAccess(role=self.next("text"))
        if self.skip("credentials") or self.skip("with", "credentials"):
            parts = dict(part.split("=", 1) for part in self.text().split(";") if "=" in part)
            if "aws_iam_role" in parts:
                return BucketAccess(role=parts["aws_iam_role"])
            return BucketAccess(
                key_id=parts.get("aws_access_key_id"),
                secret=parts.get("aws_secret_access_key"),
                token=parts.get("token"),
            )
        if self.skip("access_key_id"):
            key_id = self.text()
            if not self.skip("secret_access_key"):
                raise RefusedError("ACCESS_KEY_ID needs SECRET_ACCESS_KEY beside it", "42601")
            secret = self.text()
            token = self.text() if self.skip("session_token") else None
            return BucketAccess(key_id=key_id, secret=secret, token=token)
        return None


def _table_of(reader: _Reader) -> tuple[str, ...]:
    """``a.b.c``: quoted parts are tokens of their own, unquoted ones may be one."""
    parts = [reader.next("word", "name")]
    while reader.peek() == ("sign", ".") or parts[-1].endswith("."):
        if reader.peek() == ("sign", "."):
            reader.next()
        parts.append(reader.next("word", "name"))
    flat = [piece for part in parts for piece in part.split(".") if piece]
    return tuple(flat)


def parse_copy(sql: str) -> Copy:
    """Read a COPY statement.

    Raises:
        RefusedError: it cannot be read, or asks for what the stand-in does not do.
    """
    reader = _Reader(sql, "COPY")
    reader.next("word")
    table = _table_of(reader)
    columns: tuple[str, ...] = ()
    if reader.peek() == ("sign", "("):
        reader.next()
        columns = reader.names()
    if not reader.skip("from"):
        raise RefusedError(f'syntax error at or near "{reader.peek()[1]}" in COPY', "42601")
    url = reader.next("text", "word")
    if not url.startswith("s3://"):
        raise RefusedError(
            f"COPY … FROM '{url.partition('://')[0]}…' is not supported by the stand-in: "
            "it reads files of s3:// only"
        )
    access, format_, options = _options(reader, "COPY", _COPY_OPTIONS)
    errors = options.pop("maxerror", "0")
    return Copy(table, columns, url, access, format_, options, max(int(errors), 1))


def parse_unload(sql: str) -> Unload:
    """Read an UNLOAD statement; its query is as it was written.

    Raises:
        RefusedError: it cannot be read, or asks for what the stand-in does not do.
    """
    reader = _Reader(sql, "UNLOAD")
    reader.next("word")
    reader.next("sign")
    select = reader.next("text")
    reader.next("sign")
    if not reader.skip("to"):
        raise RefusedError(f'syntax error at or near "{reader.peek()[1]}" in UNLOAD', "42601")
    url = reader.next("text")
    if not url.startswith("s3://"):
        raise RefusedError("UNLOAD writes to s3:// only", "42601")
    access, format_, options = _options(reader, "UNLOAD", _UNLOAD_OPTIONS)
    if format_ in {"avro", "orc", "shapefile"}:
        raise RefusedError(f"UNLOAD … FORMAT {format_.upper()} is not a format of UNLOAD", "42601")
    return Unload(select, url, access, format_, options)


# what follows each option: nothing, a text, a number, an optional ON or OFF, or names in brackets
_COPY_OPTIONS = {
    "manifest": "", "serializetojson": "", "emptyasnull": "", "blanksasnull": "", "fillrecord": "",
    "truncatecolumns": "", "ignoreblanklines": "", "trimblanks": "", "removequotes": "",
    "escape": "", "acceptanydate": "", "delimiter": "text", "quote": "text", "null": "text",
    "dateformat": "text", "timeformat": "text", "encoding": "word", "ignoreheader": "number",
    "maxerror": "number", "acceptinvchars": "maybe text", "region": "text", "statupdate": "switch",
    "compupdate": "switch", "roundec": "", "explicit_ids": "",
}  # fmt: skip
_UNLOAD_OPTIONS = {
    "header": "", "allowoverwrite": "", "cleanpath": "", "manifest": "", "addquotes": "",
    "escape": "", "parallel": "switch", "delimiter": "text", "null": "text", "region": "text",
    "maxfilesize": "size", "partition": "names", "rowgroupsize": "size",
}  # fmt: skip


def _options(
    reader: _Reader, command: str, known: dict[str, str]
) -> tuple[BucketAccess, str, dict[str, str]]:
    access: BucketAccess | None = None
    format_ = "text"
    options: dict[str, str] = {}
    while reader.peek()[0] != "end":
        found = reader.authorization()
        if found is not None:
            access = found
            continue
        if reader.skip("format"):
            reader.skip("as")
        word = reader.next("word")
        if word in _FORMATS:
            format_ = word
            if word == "json" and command == "COPY" and (reader.skip("as") or True):
                options["json"] = reader.next("text") if reader.peek()[0] == "text" else "auto"
        elif word in _COMPRESSED:
            options["compression"] = _COMPRESSED[word]
        elif word in known:
            _option(reader, word, known[word], options)
        else:
            raise RefusedError(f"{command} … {word.upper()} is not supported by the stand-in")
    if access is None:
        raise RefusedError(f"{command} needs IAM_ROLE, or an access key", "42601")
    return access, format_, {key: value for key, value in options.items() if key not in _IGNORED}


def _option(reader: _Reader, word: str, follows: str, options: dict[str, str]) -> None:
    if follows == "names":
        reader.skip("by")
        reader.next("sign")
        options[word] = ",".join(reader.names())
        reader.skip("include")
        return
    if follows:
        reader.skip("as")
    if follows == "text":
        options[word] = reader.next("text")
    elif follows in {"number", "word"}:
        value = reader.next("word", "text")
        if follows == "number" and not value.isdigit():
            raise RefusedError(f"{word.upper()} needs a number, not {value!r}", "42601")
        options[word] = value
    elif follows == "switch":
        value = reader.peek()[1]
        options[word] = reader.next() if value in {"on", "off", "true", "false", "preset"} else "on"
    elif follows == "size":
        reader.next("word")
        if reader.peek()[1] in {"mb", "gb"}:
            reader.next()
    else:
        options[word] = reader.next("text") if reader.peek()[0] == "text" else ""
