"""The protocol of Snowflake's clients over HTTP: log in, queries, chunks of results."""

import gzip
import json
import os
import secrets
import socket
import threading
import uuid
from contextlib import suppress
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

import snowflake.connector.errors

from headrace.targets.snowflake_standin import PASSWORD, USER
from headrace.targets.snowflake_standin.engine import Engine
from headrace.targets.snowflake_standin.execution import execute
from headrace.targets.snowflake_standin.names import names_of
from headrace.targets.snowflake_standin.problems import problem, translated
from headrace.targets.snowflake_standin.results import Result, answer
from headrace.targets.snowflake_standin.session import StandInSession

LIFELINE = "/headrace/lifeline"
"""A request that stays open as long as its process uses the server."""

_GRACE_S = 2.0
_PARAMETERS = [
    {"name": "AUTOCOMMIT", "value": True},
    {"name": "TIMEZONE", "value": "UTC"},
    {"name": "CLIENT_TELEMETRY_ENABLED", "value": False},
    {"name": "CLIENT_PREFETCH_THREADS", "value": 1},
    {"name": "CLIENT_SESSION_KEEP_ALIVE", "value": False},
]
_MULTIPLE = 0xA000
_CLIENT, _OLDEST_CLIENT = "PythonConnector", 3


class StandInServer(ThreadingHTTPServer):
    """Serves the databases of a folder on a port of 127.0.0.1."""

    daemon_threads = True
    request_queue_size = 64

    def __init__(self, engine: Engine, port: int = 0) -> None:
        host = os.environ.get("STAND_IN_HOST", "127.0.0.1")  # 0.0.0.0 in docker-compose.yml alone
        super().__init__((host, port), _Handler)
        self.engine = engine
        self.sessions: dict[str, StandInSession] = {}
        self.results: dict[str, Result] = {}
        self.chunks: dict[str, bytes] = {}
        self._lifelines = 0
        self._turn = threading.Lock()
        self._timer: threading.Timer | None = None

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self.server_address[1])

    def hold(self, connection: socket.socket) -> None:
        """Stay until the other end closes; the server ends when nobody is left."""
        with self._turn:
            self._lifelines += 1
            if self._timer is not None:
                self._timer.cancel()
        with suppress(OSError):
            connection.settimeout(None)
            while connection.recv(64):
                pass
        with self._turn:
            self._lifelines -= 1
            if not self._lifelines:
                self._timer = threading.Timer(_GRACE_S, self.shutdown)
                self._timer.daemon = True
                self._timer.start()

    def log_in(self, body: dict[str, Any], query: dict[str, list[str]]) -> dict[str, Any]:
        """A session's token.

        Raises:
            ProgrammingError: the user or the password is another one than the fixed one, or the
                client is one that does not read what the stand-in answers.
        """
        given = body["data"]
        client, version = str(given.get("CLIENT_APP_ID")), str(given.get("CLIENT_APP_VERSION"))
        major = version.partition(".")[0]
        if client != _CLIENT or not major.isdecimal() or int(major) < _OLDEST_CLIENT:
            raise problem(
                390127, "08001",
                f"the stand-in speaks to Snowflake's connector for Python, version "
                f"{_OLDEST_CLIENT} or later, and this is {client} {version}",
            )  # fmt: skip
        if (str(given.get("LOGIN_NAME")).upper(), given.get("PASSWORD")) != (USER, PASSWORD):
            raise problem(
                390100, "08001",
                "Incorrect username or password was specified: the stand-in knows "
                f"{USER} with the password {PASSWORD}",
            )  # fmt: skip
        database = names_of((query.get("databaseName") or [""])[0])
        schema = names_of((query.get("schemaName") or [""])[0])
        session = StandInSession(
            self.engine, database[-1] if database else None, schema[-1] if schema else None
        )
        token = secrets.token_urlsafe(24)
        self.sessions[token] = session
        for name, value in (given.get("SESSION_PARAMETERS") or {}).items():
            if str(name).upper() == "AUTOCOMMIT":
                session.set_autocommit(is_on=bool(value))
        return {
            "token": token,
            "masterToken": token,
            "validityInSeconds": 86_400,
            "masterValidityInSeconds": 86_400,
            "parameters": _PARAMETERS,
            "serverVersion": "9.0.0",
            "sessionId": len(self.sessions),
            "displayUserName": USER,
            "sessionInfo": {
                "databaseName": session.database,
                "schemaName": session.schema,
                "warehouseName": (query.get("warehouse") or [""])[0] or None,
                "roleName": (query.get("roleName") or ["ACCOUNTADMIN"])[0],
            },
        }

    def log_out(self, token: str) -> None:
        """End a session; what was not committed is lost."""
        session = self.sessions.pop(token, None)
        if session is not None:
            session.close()

    def run(self, session: StandInSession, body: dict[str, Any]) -> dict[str, Any]:
        """The data of a response to a query."""
        found = execute(session, str(body["sqlText"]), body.get("bindings"))
        wanted = (body.get("parameters") or {}).get("MULTI_STATEMENT_COUNT", 1)
        if len(found) == 1:
            return self._answer(session, found[0], uuid.uuid4().hex)
        if wanted not in (0, "0", len(found), str(len(found))):
            raise problem(
                8, "0A000",
                f"Actual statement count {len(found)} did not match the desired statement count "
                f"{wanted}.",
            )  # fmt: skip
        ids = [uuid.uuid4().hex for _ in found]
        self.results.update(zip(ids, found, strict=True))
        whole = self._answer(session, found[-1], uuid.uuid4().hex)
        return {
            **whole,
            "resultIds": ",".join(ids),
            "resultTypes": ",".join(str(one.kind) for one in found),
            "statementTypeId": _MULTIPLE,
        }

    def result(self, session: StandInSession, query_id: str) -> dict[str, Any]:
        """What one of several statements gave.

        Raises:
            ProgrammingError: it was asked for already, or there is none.
        """
        found = self.results.pop(query_id, None)
        if found is None:
            raise problem(709, "02000", f"Statement {query_id} not found")
        return self._answer(session, found, query_id)

    def _answer(self, session: StandInSession, result: Result, query_id: str) -> dict[str, Any]:
        data, rest = answer(result, query_id)
        chunks = []
        for number, (count, content) in enumerate(rest):
            name = f"/chunks/{query_id}/{number}"
            self.chunks[name] = content
            chunks.append(
                {
                    "url": f"http://127.0.0.1:{self.port}{name}",
                    "rowCount": count,
                    "uncompressedSize": len(content),
                    "compressedSize": len(content),
                }
            )
        if chunks:
            data |= {"chunks": chunks, "chunkHeaders": {}, "qrmk": None}
        return {
            **data,
            "finalDatabaseName": session.database,
            "finalSchemaName": session.schema,
            "finalRoleName": "ACCOUNTADMIN",
            "finalWarehouseName": None,
        }


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: StandInServer

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing: who runs the server reads its errors alone."""

    def do_GET(self) -> None:
        """A lifeline, a chunk, a result."""
        path = urlsplit(self.path).path
        if path == LIFELINE:
            self.send_response(200)
            self.send_header("Content-Length", "0")
            self.end_headers()
            self.wfile.flush()
            self.close_connection = True
            self.server.hold(self.connection)
        elif path.startswith("/chunks/"):
            content = self.server.chunks.pop(path, None)
            self._send(200 if content is not None else 404, content or b"", "binary/octet-stream")
        else:
            self._respond(lambda session: self.server.result(session, path.split("/")[2]))

    def do_POST(self) -> None:
        """All else."""
        parts = urlsplit(self.path)
        content = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("Content-Encoding") == "gzip":
            content = gzip.decompress(content)
        body = json.loads(content) if content else {}
        query = parse_qs(parts.query)
        path = parts.path
        if path == "/session/v1/login-request":
            self._respond(lambda _: self.server.log_in(body, query), needs_session=False)
        elif path == "/queries/v1/query-request":
            self._respond(lambda session: self.server.run(session, body))
        elif path == "/session" and query.get("delete"):
            self.server.log_out(self._token())
            self._json({"success": True, "data": None, "code": None, "message": None})
        elif path == "/session/token-request":
            token = self._token()
            data = {"sessionToken": token, "validityInSecondsST": 86_400, "masterToken": token}
            self._json({"success": True, "data": data, "code": None, "message": None})
        elif path == "/queries/v1/abort-request":
            session = self.server.sessions.get(self._token())
            if session is not None:
                session.duck.interrupt()
            self._json({"success": True, "data": None, "code": None, "message": None})
        else:  # telemetry, heartbeats
            self._json({"success": True, "data": None, "code": None, "message": None})

    def _token(self) -> str:
        header = self.headers.get("Authorization") or ""
        return header.partition('Token="')[2].rstrip('"')

    def _respond(self, work: Any, *, needs_session: bool = True) -> None:
        session = self.server.sessions.get(self._token())
        if needs_session and session is None:
            self._json(
                {
                    "success": False, "code": "390104", "data": None,
                    "message": "StandInSession no longer exists.  New login required to access the "
                    "service.",
                }
            )  # fmt: skip
            return
        try:
            answered = {"success": True, "data": work(session), "code": None, "message": None}
        except snowflake.connector.errors.Error as error:
            answered = _failed(error)
        except Exception as error:
            answered = _failed(translated(error))
        self._json(answered)

    def _json(self, content: dict[str, Any]) -> None:
        self._send(200, json.dumps(content, default=str).encode(), "application/json")

    def _send(self, code: int, content: bytes, kind: str) -> None:
        with suppress(BrokenPipeError, ConnectionResetError):
            self.send_response(code)
            self.send_header("Content-Type", kind)
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)


def _failed(error: Any) -> dict[str, Any]:
    code = f"{int(error.errno or 1003):06d}"
    said = str(getattr(error, "raw_msg", None) or error.msg)
    return {
        "success": False,
        "code": code,
        "message": said,
        "data": {"errorCode": code, "sqlState": error.sqlstate, "queryId": uuid.uuid4().hex},
    }
