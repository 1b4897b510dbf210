"""The kinds of sources: for each the variables of its templates, its settings and secrets."""

import json
import re
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Any
from urllib.parse import urlsplit

from pydantic import TypeAdapter, ValidationError

from headrace.add import database
from headrace.add.files import FoundTable, find_tables, render
from headrace.add.request import PAGINATORS, AddRequest, SourceKind, check_once, check_table_name
from headrace.errors import AddError
from headrace.exceptions import first_line
from headrace.formatting import first_few
from headrace.ingest.discover import SUFFIXES
from headrace.ingest.locations import (
    Location,
    can_be_listed,
    has_password,
    is_address,
    split_address,
)
from headrace.settings import Resolved

_PLAIN = re.compile(r"[A-Za-z_/.][A-Za-z0-9_./+:@?=&*-]*")

_PATH = re.compile(r"[A-Za-z0-9._~/?=&%+,@-]+")

_WILD = re.compile(r"\*+|\?|\[([^!\]])[^\]]*\]")


@dataclass
class SourcePlan:
    """A source as it would be added.

    Attributes:
        variables: of its texts.
        secrets: options that go to the first load alone, and to no file.
        choices: what was decided, one sentence each.
        missing: what to set before it can be loaded, as text; empty when nothing is missing.
        extra_files: path below the project to text, besides those of every source.
    """

    variables: dict[str, Any]
    secrets: dict[str, str] = field(default_factory=dict)
    choices: list[str] = field(default_factory=list)
    missing: str = ""
    extra_files: dict[str, str] = field(default_factory=dict)


def plan(resolved: Resolved, request: AddRequest) -> SourcePlan:
    """The source that a request describes.

    Raises:
        AddError: an option is wrong, or one is missing; nothing was written.
    """
    makers = {"rest_api": _api, "sql_database": _database, "files": _files, "synth": _synth}
    return makers[request.kind](resolved, request)


def secret_of(kind: SourceKind) -> str:
    """The option of a kind that is a secret; empty where there is none."""
    return {"rest_api": "token", "sql_database": "password"}.get(kind, "")


def environment_variable(name: str, option: str) -> str:
    """The environment variable that sets an option of a source."""
    return f"HEADRACE_SOURCES__{name.upper()}__{option.upper()}"


def _api(resolved: Resolved, request: AddRequest) -> SourcePlan:
    del resolved  # an API is looked at by its first load
    cursor, _, parameter = (request.cursor or "").partition("=")
    if cursor and not request.primary_key:
        raise AddError("--cursor needs --primary-key: changed rows are merged by it")
    if request.deleted and not request.primary_key:
        raise AddError("--deleted needs --primary-key: the deleted row is found by it")
    paginator = request.paginator or "auto"
    if paginator not in PAGINATORS:
        raise AddError(f"--paginator {paginator}: write one of {', '.join(PAGINATORS)}")
    key = request.primary_key[0] if len(request.primary_key) == 1 else list(request.primary_key)
    found = SourcePlan({
        "resources": _resources(request),
        "primary_key": key,
        "cursor": cursor,
        "cursor_param": parameter or "since",
        "deleted": request.deleted or "",
        "paginator": paginator,
        "base_url": _yaml(_api_url(request.url)) if request.url else "",
    })  # fmt: skip
    if cursor:
        found.choices.append(f"later loads ask for ?{parameter or 'since'}=<the last {cursor}>")
    elif request.primary_key:
        found.choices.append("no --cursor: each load reads everything, and merges it on the key")
    else:
        found.choices.append("no --primary-key: each load takes the place of the one before")
    if not request.url:
        found.missing = (
            f"set sources.{request.name}.base_url and enabled: true in config/default.yml"
        )
    return found


def _resources(request: AddRequest) -> list[dict[str, str]]:
    """Name and path of each."""
    if not request.resource:
        raise AddError(
            "name what to load: --resource customers, or --resource customers=v2/customers"
        )
    resources = []
    for text in request.resource:
        name, _, path = text.partition("=")
        check_table_name(name)
        path = (path or name).lstrip("/")
        if not _PATH.fullmatch(path):
            raise AddError(f"--resource {text}: {path!r} is not a path below --url")
        resources.append({"name": name, "path": path})
    check_once("--resource", [resource["name"] for resource in resources])
    return resources


def _api_url(url: str) -> str:
    try:
        parts = urlsplit(url)
        is_good = parts.scheme in {"http", "https"} and bool(parts.hostname)
        has_secret = bool(parts.username or parts.password)
        parts.port  # noqa: B018 - raises where it is no number
    except ValueError:
        is_good, has_secret = False, False
    if not is_good or not url.isascii() or not url.isprintable() or " " in url:
        raise AddError(
            "--url is not the address of an API: write it like https://api.example.com/v1"
        )
    if has_secret or parts.query or parts.fragment:
        raise AddError(
            "--url must hold no user, password, query or fragment: it is written to a file; a "
            "bearer token is set by the environment, other ways are written into the source"
        )
    return url.rstrip("/")


def _database(resolved: Resolved, request: AddRequest) -> SourcePlan:
    check_once("--table", list(request.table))
    for table in request.table:
        if not table.isprintable() or '"' in table or not table.strip():
            raise AddError(f"--table {table!r} is not a valid name of a table")
    if "=" in (request.cursor or ""):
        raise AddError("--cursor of a database is a column, without =")
    known = resolved.settings.sources.get(request.name)
    password = str(known.options.get("password") or "") if known else ""
    found = SourcePlan({"url": "", "schema": _yaml(request.schema or ""), "tables": []})
    if not request.url:
        if request.table:
            raise AddError("--table needs --url: postgresql://reader@localhost:5432/crm")
        where = f"sources.{request.name}"
        found.missing = f"set {where}.url, tables and enabled: true in config/default.yml"
        return found
    address = database.parse_url(request.url)
    if address.password:
        found.secrets["password"] = password = str(address.password)
        name = environment_variable(request.name, "password")
        found.choices.append(f"the password is in no file: set {name} in .env")
    found.variables["url"] = _yaml(database.without_password(address))
    complete = address.set(password=password) if password else address
    tables, choices, problem = database.inspect_tables(
        complete, request.schema, request.table, request.cursor, request.deleted
    )
    found.variables["tables"] = [
        {key: _yaml(value) for key, value in table.items()} for table in tables
    ]
    found.choices += choices
    if any(table["cursor"] and not table["deleted"] for table in tables):
        found.choices.append(
            "rows deleted there stay where there is a cursor, until `load --full-refresh`"
        )
    if problem:
        hint = "" if password else f" and {environment_variable(request.name, 'password')} in .env"
        what = f"sources.{request.name}.url" + ("" if tables else ", tables")
        found.missing = f"{problem}; see to {what} and enabled: true in config/default.yml{hint}"
    return found


def _files(resolved: Resolved, request: AddRequest) -> SourcePlan:
    if not request.path:
        raise AddError("name the folder of the files: --path data/exports")
    if not request.path.isprintable():
        raise AddError(f"--path {request.path!r} is not a path")
    if "=" in (request.cursor or ""):
        raise AddError("--cursor of files is a column, without =")
    if request.cursor and not request.primary_key:
        raise AddError("--cursor needs --primary-key: it says which version of a row is newer")
    path, folder = request.path, _place(resolved, request.path)
    found = _named_tables(request) if request.pattern else find_tables(folder, request.name)
    if isinstance(folder, str) and not request.pattern and not can_be_listed(folder):
        path, _ = split_address(folder)
    tables: list[dict[str, Any]] = []
    samples: dict[str, str] = {}
    choices: list[str] = []
    for table in found:
        choices += table.reasons
        keys, cursor = request.primary_key or table.primary_key, request.cursor or table.cursor
        tables.append({
            "name": _yaml(table.name),
            "pattern": table.pattern,
            "primary_key": [_yaml(key) for key in keys],
            "cursor": _yaml(cursor),
            "settings": {name: json.dumps(value) for name, value in table.settings.items()},
        })  # fmt: skip
        if sample := sample_file(table.pattern):
            samples[table.name] = sample
    keyless = [table["name"] for table in tables if not table["primary_key"]]
    if keyless:
        choices.append(f"no key for {first_few(keyless, 5)}: a file replaces its own rows")
    missing = (
        ""
        if isinstance(folder, str) or folder.is_dir()
        else (
            f"{request.path} is not a folder yet: put the files there, and set enabled: true for "
            f"{request.name} in config/default.yml"
        )
    )
    variables = {"path": _yaml(path), "tables": tables, "samples": samples}
    return SourcePlan(variables, choices=choices, missing=missing)


def _place(resolved: Resolved, path: str) -> Path | str:
    """A folder, or an address.

    Raises:
        AddError: an address with a password, or of a scheme that is not read.
    """
    if not is_address(path):
        return resolved.source_path(Path(path))
    if has_password(path):
        raise AddError(
            "--path must hold no password, token or signature: it is written to a file; set the "
            "whole address by the environment, HEADRACE_SOURCES__<NAME>__PATH"
        )
    try:
        return TypeAdapter(Location).validate_python(path)
    except ValidationError as error:
        raise AddError(f"--path: {error.errors()[0]['msg']}") from error


def _named_tables(request: AddRequest) -> list[FoundTable]:
    """The tables that the options name."""
    tables = []
    for text in request.pattern:
        name, equals, pattern = text.partition("=")
        if not equals or not pattern or not pattern.isprintable():
            raise AddError(f"--pattern {text}: write it as TABLE=GLOB, like 'orders=orders*.csv'")
        check_table_name(name)
        tables.append(FoundTable(name, pattern))
    check_once("--pattern", [table.name for table in tables])
    return tables


def _synth(resolved: Resolved, request: AddRequest) -> SourcePlan:
    from headrace.synth.errors import SynthError
    from headrace.synth.world import World

    name = request.name
    path = f"data/schemas/{name}.yml"
    if request.schema is None:
        text = render("synth/schema.yml.j2", {"name": name})
        there = resolved.root / path
        if there.exists() and there.read_bytes() != text.encode():
            raise AddError(f"there is a {path}: take another name, or name it with --schema {path}")
        choices = (f"{path} is an example: make it yours, then load with --full-refresh",)
        return SourcePlan({"schema": path}, extra_files={path: text}, choices=list(choices))
    file = Path(request.schema).expanduser().absolute()
    try:
        World.from_file(file)
        text = file.read_text(encoding="utf-8")
    except SynthError as error:
        raise AddError(first_line(error)) from error
    except (OSError, UnicodeDecodeError) as error:
        raise AddError(f"{request.schema} cannot be read: {error}") from error
    root = resolved.root.resolve()
    if file.resolve().is_relative_to(root):
        return SourcePlan({"schema": _plain_path(file.resolve().relative_to(root))})
    if (resolved.root / path).exists():
        raise AddError(f"there is a {path}, where {request.schema} would go: take another name")
    return SourcePlan(
        {"schema": path}, extra_files={path: text}, choices=[f"{request.schema} was copied"]
    )


def _yaml(text: str) -> str:
    """A text as a value or key of YAML, in quotes only where it needs them."""
    is_word = text.lower() in {"true", "false", "null", "yes", "no", "on", "off", "y", "n"}
    if _PLAIN.fullmatch(text) and not is_word and not text.endswith(":"):
        return text
    return json.dumps(text, ensure_ascii=False) if text else ""


def _plain_path(path: Path) -> str:
    text = path.as_posix()
    if not re.fullmatch(r"[A-Za-z0-9._/ -]+", text):
        raise AddError(f"{text} goes into Python code: rename it to plain letters and digits")
    return text


def sample_file(pattern: str) -> str:
    """Such as ``orders1.csv`` for ``orders*.csv``; empty for a pattern that is too complex.

    Args:
        pattern: a glob below the source's folder; of files that are not compressed.
    """
    name = _WILD.sub(lambda found: found[1] or "1", pattern.removeprefix("./"))
    if name.endswith(".avro"):
        return ""  # which the test cannot write
    if not name.endswith(SUFFIXES):
        name += ".csv"
    is_plain = re.fullmatch(r"[A-Za-z0-9._ /-]{1,60}", name) and ".." not in name
    is_found = not name.startswith("/") and PurePosixPath(name).match(pattern)
    return name if is_plain and is_found else ""
