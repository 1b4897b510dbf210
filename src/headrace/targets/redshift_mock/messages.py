"""Messages of the protocol that pg-mimic does not read: those that come from a server."""

import asyncio
import json
import struct
from typing import Any

from pg_mimic import messages

SERVER_VERSION = "8.0.2"
"""What Redshift says that it is."""

LIFELINE = 0x68_72_6C_66
"""The code of the first message; PostgreSQL's are 1234 or less in their upper half."""

LIFELINE_HELD = b"held\r\n"
BUCKET = ("endpoint", "region", "key_id", "secret")
"""What a lifeline tells of the bucket of COPY and UNLOAD."""

_OWN = "headrace_mock"  # of prepared statements that no client knows
_LONGEST_START = 10_000  # bytes, as in PostgreSQL
_JSON, _SUPER = {114, 3802}, 4000
_COLUMN = struct.calcsize("!ihihih")  # of a description of rows, behind the name


def message(tag: bytes, payload: bytes = b"") -> bytes:
    return tag + struct.pack("!i", len(payload) + 4) + payload


def error_message(code: str, message: str, hint: str = "") -> bytes:
    fields = {"S": "ERROR", "V": "ERROR", "C": code, "M": message}
    made: bytes = messages.make_error_response({**fields, **({"H": hint} if hint else {})})
    return made


def fields_of(payload: bytes) -> dict[str, str]:
    """The fields of an error, by their letter."""
    parts = [part.decode(errors="replace") for part in payload.split(b"\0") if part]
    return {part[0]: part[1:] for part in parts}


def row_of(tag: bytes, payload: bytes) -> tuple[str | None, ...] | None:
    if tag != messages.DATA_ROW:
        return None
    values: list[str | None] = []
    at = 2
    for _ in range(struct.unpack_from("!h", payload)[0]):
        size = struct.unpack_from("!i", payload, at)[0]
        at += 4
        values.append(None if size < 0 else payload[at : at + size].decode())
        at += max(size, 0)
    return tuple(values)


def as_super(payload: bytes) -> bytes:
    """A description of rows, in which JSON has the number of the type SUPER."""
    changed = bytearray(payload)
    at = 2
    for _ in range(struct.unpack_from("!h", payload)[0]):
        end = payload.index(b"\0", at)
        if struct.unpack_from("!i", payload, end + 7)[0] in _JSON:
            struct.pack_into("!i", changed, end + 7, _SUPER)
        at = end + 1 + _COLUMN
    return bytes(changed)


def columns_of(tag: bytes, payload: bytes) -> list[tuple[str, int, int]] | None:
    if tag != messages.ROW_DESCRIPTION:
        return None
    found = []
    at = 2
    for _ in range(struct.unpack_from("!h", payload)[0]):
        end = payload.index(b"\0", at)
        name = payload[at:end].decode()
        _, _, oid, _, modifier, _ = struct.unpack_from("!ihihih", payload, end + 1)
        found.append((name, oid, modifier))
        at = end + 1 + _COLUMN
    return found


def asking(sql: str) -> bytes:
    """Messages that run a query without touching a statement of the client's."""
    return (
        message(messages.PARSE, f"{_OWN}\0{sql}\0".encode() + b"\0\0")
        + message(messages.BIND, f"{_OWN}\0{_OWN}\0".encode() + b"\0\0\0\0\0\0")
        + message(messages.EXECUTE, f"{_OWN}\0".encode() + b"\0\0\0\0")
        + message(messages.CLOSE, f"P{_OWN}\0".encode())
        + message(messages.CLOSE, f"S{_OWN}\0".encode())
    )


def describing(select: str) -> bytes:
    """Messages that ask for the columns of a query."""
    return (
        message(messages.PARSE, f"{_OWN}\0{select}\0".encode() + b"\0\0")
        + message(messages.DESCRIBE, f"S{_OWN}\0".encode())
        + message(messages.CLOSE, f"S{_OWN}\0".encode())
    )


async def startup_packet(reader: asyncio.StreamReader) -> tuple[int, bytes]:
    """The code and the rest of a client's first message, which is short.

    Raises:
        ValueError: it is of another protocol.
    """
    length, code = struct.unpack("!ii", await reader.readexactly(8))
    if not 8 <= length <= _LONGEST_START:
        raise ValueError(length)
    return code, await reader.readexactly(length - 8)


def bucket_of(told: bytes) -> dict[str, Any]:
    """What a lifeline tells of the bucket, by the names of ``S3Files``.

    Raises:
        ValueError: it is something else.
    """
    given = json.loads(told)
    return {name: str(given[name]) for name in BUCKET if given.get(name)}
