"""Errors of APIs, databases and schema contracts, as one line that says what to change."""

import errno
import os
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

from headrace.error_detail import hidden, user_frame
from headrace.errors import HeadraceError, SourceError, WarehouseError
from headrace.exceptions import causes, first_line
from headrace.extras import how_to_install
from headrace.secrets import hide, public_url
from headrace.synth.errors import SynthError
from headrace.system_errors import system_fault

_UNREACHABLE = "is it right, and is the server there?"


def load_error(
    error: Exception,
    name: str,
    *,
    place: Path,
    root: Path,
    options: Callable[[], Iterable[str]],
    explain_server: Callable[[Exception], WarehouseError] | None = None,
) -> HeadraceError:
    """The error of a load that is meant for the user, from inside dlt's wrapping.

    Args:
        error: what dlt raised.
        name: of the source.
        place: a folder on the disk that may be full.
        root: of the project, whose own code is named where the error came from there.
        options: gives what the source's ``build_source`` takes.
        explain_server: explains what the server said that was loaded into; None of a file.
    """
    import duckdb

    chain = list(causes(error))
    for cause in chain:
        if isinstance(cause, HeadraceError):
            return cause
        if isinstance(cause, SynthError):
            return SourceError(f"source {name}: {cause}")
    is_of_source = any(type(one).__module__.startswith("sqlalchemy") for one in chain)
    # without a step it is Headrace's own look at the target, before dlt's steps or after them
    is_of_target = getattr(error, "step", "load") in {"load", "sync"} and not is_of_source
    if explain_server is not None and is_of_target:
        servers = ("psycopg", "botocore")
        said = next((one for one in chain if type(one).__module__.startswith(servers)), None)
        if isinstance(said, Exception):
            return explain_server(said)
    fault = system_fault(error, place=place)
    if fault is not None:
        return WarehouseError(f"source {name}: {fault.message}")
    found = next((first_line(cause) for cause in chain if isinstance(cause, duckdb.Error)), "")
    found = found or explain(name, chain, options()) or ""
    detail = user_frame(error, root)
    if not found:
        last = chain[-1]  # Python would name the file once more
        words = last.msg if isinstance(last, SyntaxError) else first_line(last)
        found = f"{type(last).__name__}: {words}"
        found += "" if detail else " (--debug shows where)"
        if detail and detail.line:
            found = f"{detail.file} line {detail.line}: {found}"
    return SourceError(hide(f"source {name}: {found}"), detail=hidden(detail))


def explain(name: str, chain: Sequence[BaseException], options: Iterable[str]) -> str | None:
    """The cause in one line; None if it is neither an API's nor a database's.

    Args:
        name: of the source.
        chain: the exceptions, outermost first.
        options: what the source's ``build_source`` takes; settings are named only if it does.
    """
    takes = set(options)
    for error in reversed(chain):
        home = type(error).__module__.partition(".")[0]
        is_driver = isinstance(error, ModuleNotFoundError) and "url" in takes
        found = None
        if type(error).__name__ == "DataValidationError":
            found = _contract(name, error)
        elif home == "requests":
            found = _request(name, error, chain, takes)
        elif home == "sqlalchemy" or is_driver:
            found = database_problem(error, name, takes)
        if found:
            return found
    return None


def database_problem(error: BaseException, name: str = "", takes: Iterable[str] = ()) -> str:
    """A failure of SQLAlchemy, or of a missing driver, as one line; no password is in it."""
    at = f"sources.{name}." if name else ""
    kind = type(error).__name__
    if isinstance(error, ImportError):
        driver = error.name or "?"
        how = how_to_install("postgres") if driver == "psycopg" else f"uv add {driver}"
        return f"the driver {driver} is not installed: run `{how}`"
    if kind == "NoSuchTableError":
        return (
            f"there is no table {error} that this user may see: correct {at}tables, or {at}schema"
        )
    if kind in {"NoSuchModuleError", "ArgumentError"}:
        return (
            f"{at}url is not one that SQLAlchemy knows ({first_line(error)}): write it like "
            "postgresql+psycopg://reader@localhost:5432/crm"
        )
    words = first_line(getattr(error, "orig", None) or error)
    lower = words.lower()
    if "password" in lower or "authentication" in lower or "access denied" in lower:
        if name and "password" in set(takes):
            return f"{words}: set {_variable(name, 'password')} in .env or the environment"
        return f"{words}: set the password, or renew it"
    if "permission denied" in lower or "denied to user" in lower:
        return f"{words}: have that user granted the right to read it"
    if kind == "OperationalError" and _says_unreachable(lower):
        return f"{words}: {at}url, {_UNREACHABLE}" if at else words
    return f"{kind}: {words}"


def _contract(name: str, error: Any) -> str:
    """Data that breaks the schema contract: dlt's exception in one line."""
    table, column, entity = error.table_name, error.column_name, error.schema_entity
    known = (error.table_schema or {}).get("columns", {})
    keys = [key for key, hints in known.items() if hints.get("primary_key")]
    item = error.data_item if hasattr(error.data_item, "get") else {}
    row = ", ".join(f"{key} {item.get(key)}" for key in keys if key in item)
    where = f" ({row})" if row else ""
    setting = f"sources.{name}.schema_contract.{entity}"
    if entity == "data_type" and "__v_" in str(column):
        plain, _, kind = column.rpartition("__v_")
        was = known.get(plain, {}).get("data_type", "of another type")
        return (
            f"{table}.{plain} is {was}, and a row came with {kind} there{where}: set {setting} to "
            f"evolve (such values go to {column}), to discard_value or discard_row; or, where the "
            f"type is to change, `headrace load --full-refresh --source {name}`"
        )
    what = f"the table {table}" if entity == "tables" else f"the column {table}.{column}"
    return f"{what} is new{where}, and the contract takes none: set {setting} to evolve"


def _says_unreachable(words: str) -> bool:
    signs = ("connect", "resolve", "timeout", "timed out", "unable to open", "unreachable")
    return any(sign in words for sign in signs)


def _request(name: str, error: Any, chain: Sequence[BaseException], takes: set[str]) -> str | None:
    """An exception of requests."""
    import requests

    url = f"sources.{name}.base_url" if "base_url" in takes else "the address"
    if isinstance(error, requests.HTTPError) and error.response is not None:
        return _http_error(name, error.response, takes)
    if isinstance(error, requests.JSONDecodeError):
        return f"a response was not JSON: check that {url} is the API's"
    if isinstance(error, requests.exceptions.InvalidURL | requests.exceptions.MissingSchema):
        return f"{url} is not a URL ({first_line(error)}): write it like https://api.example.com"
    if isinstance(error, requests.TooManyRedirects):
        return f"{_called(error)} is redirected without end: correct {url}"
    if isinstance(error, requests.exceptions.SSLError):
        return f"{_called(error)}: no secure connection ({_reason(chain)}): check the certificate"
    if isinstance(error, requests.ConnectionError | requests.Timeout):
        return f"{_called(error)} could not be reached ({_reason(chain)}): {url}, {_UNREACHABLE}"
    return None


def _http_error(name: str, response: Any, takes: set[str]) -> str:
    status, reason = response.status_code, str(response.reason or "").strip()
    said = f"GET {public_url(response.url)} returned {status} {reason}".rstrip()
    if response.request is not None and response.request.method:
        said = said.replace("GET", response.request.method, 1)
    if status in {401, 403}:
        if "token" in takes:
            return f"{said}: set {_variable(name, 'token')} in .env or the environment, or renew it"
        return f"{said}: check its credentials"
    if status == 404:
        return f"{said}: correct sources.{name}.base_url, or the resource's path"
    if status == 429 or status >= 500:
        longer = f", or raise sources.{name}.max_attempts" if "max_attempts" in takes else ""
        return f"{said}, on the last attempt too: run the same command again later{longer}"
    return f"{said}: check what the API expects there"


def _called(error: Any) -> str:
    request = error.request
    return f"{request.method} {public_url(request.url)}" if request is not None else "the API"


def _reason(chain: Sequence[BaseException]) -> str:
    for error in reversed(chain):
        if isinstance(error, OSError) and error.errno and not hasattr(error, "request"):
            return error.strerror or os.strerror(error.errno)
    last = type(chain[-1]).__name__
    for error in reversed(chain):
        kind = type(error).__name__
        if "Timeout" in kind:
            return os.strerror(errno.ETIMEDOUT)
        if kind == "RemoteDisconnected":
            return "the server closed the connection"
    return last


def _variable(name: str, option: str) -> str:
    return f"HEADRACE_SOURCES__{name.upper()}__{option.upper()}"
