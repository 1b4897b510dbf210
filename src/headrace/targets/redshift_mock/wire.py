"""The wire protocol of the Redshift stand-in: a proxy that hands each statement to PostgreSQL.

Parameters, types, cursors, errors and transactions are PostgreSQL's own, as its messages pass
unchanged. What is changed is the text of statements, the version of the server, and COPY and UNLOAD
with S3, whose files DuckDB reads and writes. pg-mimic knows the messages.
"""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from pg_mimic import messages
from pg_mimic.stream import ConnectionClosed, PgStream

from headrace.targets.redshift_mock.commands import Copy, FileWork, RefusedError, Unload
from headrace.targets.redshift_mock.messages import (
    SERVER_VERSION,
    as_super,
    asking,
    columns_of,
    describing,
    error_message,
    fields_of,
    message,
    row_of,
)
from headrace.targets.redshift_mock.translate import Translated, split, translate

_CHUNK = 1 << 16
_COPY_IN, _COPY_OUT = b"G", b"H"
_FLUSH, _SYNC = messages.FLUSH, messages.SYNC
_ASKS = frozenset({b"P", b"B", b"D", b"E", b"C"})
_ENDS = frozenset({b"1", b"2", b"3", b"T", b"n", b"C", b"I", b"s"})
"""What ends the answer to each of these messages of the extended protocol."""


@dataclass
class WireSession:
    """A client, and its connection to PostgreSQL.

    Attributes:
        client: who is served.
        server: PostgreSQL.
        files: reads and writes what COPY and UNLOAD name.
    """

    client: PgStream
    server: PgStream
    files: FileWork
    _unanswered: int = 0  # Syncs
    _settled: asyncio.Event = field(default_factory=asyncio.Event)
    _expected: int = 0  # answers to messages since the last Sync
    _caught_up: asyncio.Event = field(default_factory=asyncio.Event)
    _captured: "asyncio.Queue[tuple[bytes, bytes]] | None" = None
    _failed: bool = False
    _status: bytes = b"I"
    _refusals: dict[str, RefusedError] = field(default_factory=dict)
    _statements: dict[str, Translated] = field(default_factory=dict)
    _portals: dict[str, Translated] = field(default_factory=dict)
    _tags: "deque[str | None]" = field(default_factory=deque)

    async def serve(self) -> None:
        """Answer until one side leaves."""
        self._settled.set()
        pump = asyncio.create_task(self._pump())
        try:
            while True:
                tag, payload = await self.client.read_message()
                if tag == messages.TERMINATE:
                    break
                await self._received(tag, payload)
        except ConnectionClosed:
            pass
        finally:
            with suppress(OSError, RuntimeError):
                self.server.write(message(messages.TERMINATE))
                await self.server.drain()
            pump.cancel()
            with suppress(asyncio.CancelledError, ConnectionClosed, OSError):
                await pump

    # --- from PostgreSQL ---

    async def _pump(self) -> None:
        """Pass on what PostgreSQL says, or hold it for who has asked for it."""
        try:
            while True:
                tag, payload = await self.server.read_message()
                if tag == messages.READY_FOR_QUERY:
                    self._status, self._failed = payload[:1], False
                elif tag == messages.ERROR_RESPONSE:
                    self._failed = True
                if self._captured is not None:
                    self._captured.put_nowait((tag, payload))
                    continue
                self._expected = 0 if self._failed else self._expected - (tag in _ENDS)
                if self._expected <= 0:
                    self._caught_up.set()
                self.pass_on(tag, payload)
                await self.client.drain()
                if tag == messages.READY_FOR_QUERY:
                    self._unanswered -= 1
                    if self._unanswered <= 0:
                        self._tags.clear()
                        self._settled.set()
        except (ConnectionClosed, OSError):
            if self._captured is not None:
                self._captured.put_nowait((b"", b""))
            self.client.write(
                error_message("57P01", "the PostgreSQL server of the stand-in has stopped")
            )
            with suppress(ConnectionClosed, OSError):
                await self.client.drain()
            await self.client.close()

    def pass_on(self, tag: bytes, payload: bytes) -> None:
        """Tell the client what PostgreSQL says, as Redshift would."""
        if tag == messages.ERROR_RESPONSE:
            payload = self._error_of(payload)
        elif tag == messages.PARAMETER_STATUS and payload.startswith(b"server_version\0"):
            payload = b"server_version\0" + SERVER_VERSION.encode() + b"\0"
        elif tag == messages.ROW_DESCRIPTION:
            payload = as_super(payload)
        elif tag in {messages.COMMAND_COMPLETE, messages.PORTAL_SUSPENDED, b"I"} and self._tags:
            override = self._tags.popleft()
            if tag == messages.COMMAND_COMPLETE and override is not None:
                payload = override.encode() + b"\0"
        self.client.write(message(tag, payload))

    def _error_of(self, payload: bytes) -> bytes:
        """What an error says to the client: a refusal in its own words."""
        fields = fields_of(payload)
        for marker, refusal in self._refusals.items():
            if marker in fields.get("M", ""):
                del self._refusals[marker]
                return error_message(refusal.code, refusal.message, refusal.hint)[5:]
        return payload

    def _marker(self, refusal: RefusedError) -> str:
        """A name that PostgreSQL does not know; its error becomes the refusal."""
        marker = f"headrace_refusal_{len(self._refusals)}_"
        self._refusals[marker] = refusal
        return marker

    # --- from the client ---

    async def _received(self, tag: bytes, payload: bytes) -> None:
        if tag == messages.QUERY:
            await self._query(messages.parse_query(payload))
            return
        if tag == messages.PARSE:
            payload = self._parse(payload)
        elif tag == messages.BIND:
            bound = messages.parse_bind(payload)
            if bound.statement_name in self._statements:
                self._portals[bound.portal_name] = self._statements[bound.statement_name]
        elif tag == messages.EXECUTE:
            found = self._portals.get(messages.parse_execute(payload).portal_name)
            if found is not None and (found.copy or found.unload):
                self.server.write(message(_FLUSH))
                await self.server.drain()
                if self._expected > 0:
                    await self._caught_up.wait()
                if not self._failed:
                    await self._execute_with_files(found, payload)
                    return
            self._tags.append(found.tag if found else None)
        elif tag == messages.SYNC:
            self._unanswered += 1
            self._settled.clear()
        if tag in _ASKS:
            self._expected += 1
            self._caught_up.clear()
        self.server.write(message(tag, payload))
        await self.server.drain()

    def _parse(self, payload: bytes) -> bytes:
        """A Parse message with the statement as PostgreSQL understands it."""
        parsed = messages.parse_parse(payload)
        translated = self._translated(parsed.sql)
        self._statements[parsed.statement_name] = translated
        name, end = payload.index(b"\0"), len(payload) - 2 - 4 * len(parsed.param_oids)
        return payload[: name + 1] + translated.sql.encode() + b"\0" + payload[end:]

    def _translated(self, sql: str) -> Translated:
        parts = split(sql)
        try:
            if len(parts) > 1:
                raise RefusedError(
                    "cannot insert multiple commands into a prepared statement", "42601"
                )
            return translate(parts[0]) if parts else Translated(sql)
        except RefusedError as refusal:
            return Translated(f"select {self._marker(refusal)}()")

    async def _query(self, sql: str) -> None:
        """A simple query, which may be of several statements."""
        await self._settled.wait()
        translated = [self._translated(part) for part in split(sql)]
        self._captured = asyncio.Queue()
        try:
            if any(one.copy or one.unload for one in translated) and len(translated) > 1:
                is_own = self._status == b"I" and not any(one.is_transaction for one in translated)
                if is_own:
                    await self._until_ready("begin", quiet=True)
                good = True
                for one in translated:
                    good = await self._one(one)
                    if not good:
                        break
                if is_own:
                    await self._until_ready("commit" if good else "rollback", quiet=True)
            elif translated and (translated[0].copy or translated[0].unload):
                await self._one(translated[0])
            else:
                self._tags.extend(one.tag for one in translated)
                await self._until_ready(";\n".join(one.sql for one in translated))
            self._tags.clear()
        finally:
            self._captured = None
        self.client.write(messages.make_ready_for_query(self._status))
        await self.client.drain()

    async def _one(self, statement: Translated) -> bool:
        """Run one of several statements; whether it went well."""
        if statement.copy is None and statement.unload is None:
            self._tags.append(statement.tag)
            good = await self._until_ready(statement.sql)
        else:
            good = await self._with_files(
                statement, lambda: message(messages.QUERY, statement.sql.encode() + b"\0"), _SYNC
            )
        return good

    async def _until_ready(self, sql: str, *, quiet: bool = False) -> bool:
        """Send a query, and pass on the answers; whether there was no error."""
        self.server.write(message(messages.QUERY, sql.encode() + b"\0"))
        await self.server.drain()
        good = True
        async for tag, payload in self._answers():
            if tag == messages.READY_FOR_QUERY:
                break
            if tag == messages.ERROR_RESPONSE:
                good = False
            if not quiet:
                self.pass_on(tag, payload)
                await self.client.drain()
        return good

    async def _answers(self) -> AsyncIterator[tuple[bytes, bytes]]:
        assert self._captured is not None
        while True:
            tag, payload = await self._captured.get()
            if not tag:
                raise ConnectionClosed
            yield tag, payload

    # --- COPY and UNLOAD ---

    async def _execute_with_files(self, statement: Translated, payload: bytes) -> None:
        """An Execute message of the extended protocol, whose Sync comes later."""
        self._captured = asyncio.Queue()
        try:
            await self._with_files(statement, lambda: message(messages.EXECUTE, payload), _FLUSH)
            while not self._captured.empty():
                self.pass_on(*self._captured.get_nowait())
        finally:
            self._captured = None
        await self.client.drain()

    async def _with_files(
        self, statement: Translated, start: Callable[[], bytes], end: bytes
    ) -> bool:
        """Run COPY or UNLOAD; whether it went well. ``end`` is Sync, or Flush before one."""
        if statement.copy is not None:
            return await self._copy(statement.copy, start, end)
        assert statement.unload is not None
        return await self._unload(statement.unload, start, end)

    async def _copy(  # noqa: PLR0912 - the order of the messages is best read in one piece
        self, copy: Copy, start: Callable[[], bytes], end: bytes
    ) -> bool:
        rows = await self._rows(copy.columns_sql(), end)
        if rows is None:
            return False
        columns = [(str(name), str(kind)) for name, kind in rows]
        refusal: RefusedError | None = None
        path: Path | None = None
        try:
            path = await asyncio.to_thread(self.files.read, copy, columns)
        except RefusedError as error:
            refusal = error
        try:
            self.server.write(start() + (message(_FLUSH) if end == _FLUSH else b""))
            await self.server.drain()
            async for tag, payload in self._answers():
                if tag == _COPY_IN:
                    break
                self.pass_on(tag, payload)
                if tag == messages.ERROR_RESPONSE:
                    await self._ready(end)
                    return False
            if path is None:
                assert refusal is not None
                marker = self._marker(refusal)
                self.server.write(message(messages.COPY_FAIL, marker.encode() + b"\0"))
            else:
                with path.open("rb") as file:
                    while chunk := file.read(_CHUNK):
                        self.server.write(message(messages.COPY_DATA, chunk))
                        await self.server.drain()
                self.server.write(message(messages.COPY_DONE))
            if end == _FLUSH:
                self.server.write(message(_FLUSH))
            await self.server.drain()
            async for tag, payload in self._answers():
                if tag == messages.COMMAND_COMPLETE:
                    self._tags.clear()
                self.pass_on(tag, payload)
                if tag in {messages.COMMAND_COMPLETE, messages.ERROR_RESPONSE}:
                    await self._ready(end)
                    return bool(tag == messages.COMMAND_COMPLETE)
        finally:
            if path is not None:
                path.unlink(missing_ok=True)
        return False

    async def _unload(self, unload: Unload, start: Callable[[], bytes], end: bytes) -> bool:
        columns = await self._described(unload.select, end)
        if columns is None:
            return False
        path = self.files.scratch()
        try:
            self.server.write(start() + (message(_FLUSH) if end == _FLUSH else b""))
            await self.server.drain()
            with path.open("wb") as file:
                async for tag, payload in self._answers():
                    if tag == messages.COPY_DATA:
                        file.write(payload)
                    elif tag == messages.COMMAND_COMPLETE:
                        break
                    elif tag == messages.ERROR_RESPONSE:
                        self.pass_on(tag, payload)
                        await self._ready(end)
                        return False
                    elif tag not in {_COPY_OUT, messages.COPY_DONE}:
                        self.pass_on(tag, payload)
            await self._ready(end)
            try:
                await asyncio.to_thread(self.files.write, unload, columns, path)
            except RefusedError as refusal:
                await self._rows(f"select {self._marker(refusal)}()", end)
                return False
        finally:
            path.unlink(missing_ok=True)
        self.client.write(messages.make_command_complete("UNLOAD"))
        return True

    async def _ready(self, end: bytes) -> None:
        """Wait until a simple query has ended."""
        if end == _SYNC:
            async for tag, _ in self._answers():
                if tag == messages.READY_FOR_QUERY:
                    return

    async def _rows(self, sql: str, end: bytes) -> list[tuple[str, ...]] | None:
        """Rows of an own query in the client's transaction; None after an error, passed on."""
        return await self._own_answers(asking(sql), end, 2, row_of)

    async def _described(self, select: str, end: bytes) -> list[tuple[str, int, int]] | None:
        """Name, type and modifier of each column of a query; None after an error, passed on."""
        found = await self._own_answers(describing(select), end, 1, columns_of)
        return None if found is None else found[0]

    async def _own_answers(
        self, asked: bytes, end: bytes, closes: int, read: Callable[[bytes, bytes], Any]
    ) -> "list[Any] | None":
        self.server.write(asked + message(end))
        await self.server.drain()
        found: list[Any] = []
        closed, good = 0, True
        async for tag, payload in self._answers():
            if tag == messages.ERROR_RESPONSE:
                self.pass_on(tag, payload)
                good = False
                if end == _FLUSH:
                    return None
            elif tag == messages.READY_FOR_QUERY:
                break
            elif tag == messages.CLOSE_COMPLETE:
                closed += 1
            elif (one := read(tag, payload)) is not None:
                found.append(one)
            if end == _FLUSH and closed >= closes:
                break
        return found if good else None
