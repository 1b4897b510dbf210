"""Errors of targets: what servers say becomes one line with advice; the page of them is true."""

import ast
import re
import sys
from collections.abc import Iterator, Sequence
from functools import cache
from importlib.machinery import ModuleSpec
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from headrace.errors import TransformError, WarehouseError
from headrace.pipeline.building.build import require_capabilities
from headrace.settings import resolve
from headrace.targets import Target
from headrace.targets.redshift.server import IamLogin, RedshiftServer
from headrace.targets.registry import OWN_TYPES
from headrace.targets.snowflake.server import SnowflakeServer

ROOT = Path(__file__).parents[3]
PAGE = ROOT / "docs" / "reference" / "target-errors.md"
CASES = (
    "no server",
    "a wrong password",
    "an expired token",
    "a server that dies in mid load",
    "a bucket that is read-only or full",
    "a bucket that answers 503, or late",
    "two runs at once, from two machines",
    "a missing extra",
    "a port in use",
    "a value or type that the engine cannot hold",
    "a name too long for it",
    "a clock that is off against the server's",
    "a target written by a newer Headrace",
)
Row = tuple[str, set[str], str, str]


def rows() -> Iterator[Row]:
    """Case, targets, message and test of each row; a case holds for the rows below it, too."""
    case = ""
    for line in PAGE.read_text("utf-8").splitlines():
        cells = [cell.strip() for cell in line.strip("|").replace("\\|", "\0").split("|")]
        if line.startswith("| ") and len(cells) == 4 and cells[0] != "bad input":
            case = cells[0] or case
            said = cells[2].replace("\0", "|")
            yield case, set(re.findall(r"`(\w+)`", cells[1])), said, cells[3]


@cache
def sentences() -> str:
    """All texts of the code, one a line; what is filled in is an ellipsis."""
    found = []
    for path in (ROOT / "src" / "headrace").rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.JoinedStr):
                parts = [
                    str(part.value) if isinstance(part, ast.Constant) else "…"
                    for part in node.values
                ]
                found.append("".join(parts))
            elif isinstance(node, ast.Constant) and isinstance(node.value, str):
                found.append(re.sub(r"\{\w+\}", "…", node.value))
    return "\n".join(found).replace("`", "")


def test_the_page_has_every_case_and_every_target() -> None:
    found: dict[str, set[str]] = {}
    for case, targets, _, _ in rows():
        assert targets, case
        assert targets <= set(OWN_TYPES), case
        found.setdefault(case, set()).update(targets)
    assert tuple(found) == CASES
    assert set().union(*found.values()) == set(OWN_TYPES)
    for case in ("two runs at once, from two machines", "a missing extra"):
        assert found[case] >= set(OWN_TYPES) - {"duckdb"}, case


@pytest.mark.parametrize("row", list(rows()), ids=lambda row: f"{row[0]} {sorted(row[1])}")
def test_what_the_page_says_is_said_and_tested(row: Row) -> None:
    _, _, said, test = row
    messages = re.findall(r"`([^`]+)`", said)
    assert messages, said
    for message in messages:
        assert message in sentences(), message
    named = re.fullmatch(r"`(tests/[\w/]+\.py)::(\w+)`", test)
    assert named is not None, test
    tree = ast.parse((ROOT / named[1]).read_text("utf-8"))
    assert named[2] in {one.name for one in tree.body if isinstance(one, ast.FunctionDef)}


SNOWFLAKE = SnowflakeServer({"account": "my-org", "user": "me"}, "SHOP", None, "snowflake")
REDSHIFT = RedshiftServer({"host": "h.example", "port": "5439"}, "dev", None, None, "redshift")


@pytest.mark.parametrize(
    ("server", "words", "advice"),
    [
        (
            SNOWFLAKE,
            "250001 (08001): Failed to connect to DB: my-org.snowflakecomputing.com:443.",
            "my-org, database SHOP cannot be reached: is targets.snowflake.account right",
        ),
        (
            SNOWFLAKE,
            (
                "250001 (08001): None: Failed to connect to DB: my-org.snowflakecomputing.com:443. "
                "Incorrect username or password was specified."
            ),
            "refuses the log-in (",
        ),
        (
            SNOWFLAKE,
            (
                "390318 (08001): None: Failed to connect to DB: my-org.snowflakecomputing.com:443. "
                "OAuth access token expired. [1172527951]"
            ),
            "the token has expired (",
        ),
        (
            SNOWFLAKE,
            (
                "390144 (08001): None: Failed to connect to DB: my-org.snowflakecomputing.com:443. "
                "JWT token is invalid. [0ce9eb56-821d-4ca9-a774-04ae89a0cf5a]"
            ),
            "is this machine's clock right (NTP)",
        ),
        (REDSHIFT, "connection to server at h failed: Connection refused", "does not answer"),
        (
            REDSHIFT,
            'connection to server at h failed: FATAL:  password authentication failed for "me"',
            'refuses the log-in (password authentication failed for "me")',
        ),
    ],
    ids=lambda value: str(value)[:40],
)
def test_what_a_server_says_becomes_advice(server: Any, words: str, advice: str) -> None:
    message = str(server.explain(RuntimeError(words)))
    assert advice in message
    assert "\n" not in message


@pytest.mark.parametrize(
    ("code", "words", "advice"),
    [
        ("ExpiredTokenException", "The security token included in the request is expired",
         "the session's token has expired: get a new one"),
        ("InvalidSignatureException", "Signature expired: 20261128T1 is now earlier than 2026",
         "this machine's clock is off against AWS's: set it (NTP)"),
        ("AccessDenied", "User: x is not authorized", "set AWS_ACCESS_KEY_ID"),
    ],
)  # fmt: skip
def test_what_aws_says_becomes_advice(
    monkeypatch: pytest.MonkeyPatch, code: str, words: str, advice: str
) -> None:
    boto3 = pytest.importorskip("boto3", reason="uv sync --extra redshift")
    exceptions = pytest.importorskip("botocore.exceptions", reason="uv sync --extra redshift")

    class Client:
        def get_credentials(self, **given: object) -> None:
            error = {"Error": {"Code": code, "Message": words}}
            raise exceptions.ClientError(error, "GetCredentials")

    class Session:
        def __init__(self, **given: object) -> None: ...

        def client(self, name: str) -> Client:
            return Client()

    monkeypatch.setattr(boto3, "Session", Session)
    with pytest.raises(WarehouseError) as caught:
        IamLogin(None, "default", "eu-central-1", None).user_and_password("dev")
    assert f"({words}" not in str(caught.value)
    assert advice in str(caught.value)


def target_of(tmp_path: Path, name: str, *flags: str) -> Target:
    (tmp_path / "config").mkdir(exist_ok=True)
    given = [f"target={name}", *(f"targets.{name}.{flag}" for flag in flags)]
    return resolve(tmp_path, flags=given, environ={}).target


class Without:
    """What Python asks for a module, where some are not installed."""

    def __init__(self, missing: Sequence[str]) -> None:
        self.missing, self.finders = missing, list(sys.meta_path)

    def find_spec(self, name: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        if any(name == one or name.startswith(f"{one}.") for one in self.missing):
            return None
        found = (finder.find_spec(name, path, target) for finder in self.finders)
        return next((spec for spec in found if spec is not None), None)

    def find_distributions(self, context: Any) -> Iterator[Any]:
        for finder in self.finders:
            yield from getattr(finder, "find_distributions", lambda _: ())(context)


@pytest.mark.parametrize(
    ("name", "missing", "flags"),
    [
        ("ducklake", "duckdb_extension_ducklake", ()),
        ("lake", "duckdb_extension_delta", ()),
        ("lake", "botocore", ("url=s3://bucket/lake",)),
        ("postgres", "psycopg", ()),
        ("redshift", "dbt.adapters.redshift", ("host=h", "user=u", "password=p")),
        ("redshift", "psycopg2", ("host=h", "user=u", "password=p")),
        ("sail", "pysail", ()),
        ("snowflake", "snowflake.connector", ()),
        ("spark", "pyspark", ()),
    ],
)
def test_a_missing_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, missing: str, flags: Sequence[str]
) -> None:
    for module in list(sys.modules):
        if module == missing or module.startswith(f"{missing}."):
            monkeypatch.delitem(sys.modules, module)
    monkeypatch.setattr(sys, "meta_path", [Without([missing])])
    with pytest.raises(WarehouseError, match=rf"run `uv (sync --extra|add) .*{name}") as caught:
        target_of(tmp_path, name, *flags).check()
    assert "\n" not in str(caught.value)


class _Node:
    def __init__(self, alias: str, *columns: str, kind: str = "model") -> None:
        self.name = self.alias = alias
        self.schema, self.resource_type, self.columns = "marts", kind, dict.fromkeys(columns)


def test_names_that_the_engine_would_cut_are_refused_before_the_build(tmp_path: Path) -> None:
    long, accents = "n" * 64, "é" * 32

    nodes: dict[str, _Node] = {}
    parsed = cast("Any", SimpleNamespace(graph=SimpleNamespace(nodes=nodes)))
    pytest.importorskip("psycopg", reason="uv sync --extra postgres")
    postgres = target_of(tmp_path, "postgres")
    nodes |= {"a": _Node("n" * 63, "é" * 31), "t": _Node(long, kind="test")}
    require_capabilities(postgres, parsed)
    nodes |= {"b": _Node(long), "c": _Node("orders", "id", accents)}
    with pytest.raises(TransformError) as caught:
        require_capabilities(postgres, parsed)
    assert str(caught.value) == (
        "the target postgres cuts names at 63 bytes, and 2 names are longer "
        f"(marts.{long}, the column {accents} of orders): give the model an alias, the column a "
        "shorter name"
    )
    require_capabilities(target_of(tmp_path, "duckdb"), parsed)
