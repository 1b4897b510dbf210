"""moto's S3, whose objects are files of a folder: what was answered is on disk, and survives.

    FOLDER/buckets/<bucket>/<key>

moto keeps objects in memory. Each request that writes is answered once its object is a file, too;
a server that starts reads the files. An object's tag is the MD5 of its content, however it was
uploaded, and its time is that of the file: so who remembers what was loaded is right after a
restart.
"""

import hashlib
import json
import os
import threading
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote

from headrace import portable
from headrace.targets.s3_standin import LIFELINE, REGION

REQUESTS = "/_headrace/requests"
"""Gives how many requests there were of each kind since the start, as JSON."""

_GRACE_S = 2.0
_ACCOUNT = "123456789012"
_WRITES = {"PUT", "POST", "DELETE"}


class S3StandIn:
    """Serves a folder on a port of 127.0.0.1."""

    def __init__(self, folder: Path, port: int = 0) -> None:
        """Read the folder's objects, and listen.

        Raises:
            OSError: a file cannot be read, or the port is taken.
        """
        from moto.backends import get_backend
        from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
        from werkzeug.serving import WSGIRequestHandler, make_server

        self.root = folder / "buckets"
        self.root.mkdir(parents=True, exist_ok=True)
        self.counts: Counter[str] = Counter()
        self._s3: Any = get_backend("s3")[_ACCOUNT]["aws"]
        self._moto: Any = DomainDispatcherApplication(create_backend_app)
        self._turn = threading.Lock()
        self._lifelines = 0
        self._timer: threading.Timer | None = None
        self._read()

        class Quiet(WSGIRequestHandler):
            def log(self, type: str, message: str, *args: Any) -> None:  # noqa: A002
                """Nothing: who runs the server reads its errors alone."""

        self._server = make_server(
            "127.0.0.1", port, self._answer, threaded=True, request_handler=Quiet
        )

    @property
    def port(self) -> int:
        """The port that it has."""
        return int(self._server.server_port)

    def serve(self) -> None:
        """Answer until the last lifeline has ended."""
        self._server.serve_forever(poll_interval=0.1)

    def _answer(self, environ: dict[str, Any], start: Callable[..., Any]) -> Iterable[bytes]:
        path = str(environ["PATH_INFO"])
        if path == LIFELINE:
            start("200 OK", [("Content-Type", "text/plain")])
            return self._held(environ["werkzeug.socket"])
        if path == REQUESTS:
            start("200 OK", [("Content-Type", "application/json")])
            return [json.dumps(self.counts).encode()]
        method = str(environ["REQUEST_METHOD"])
        with self._turn:
            self.counts[_kind(method, str(environ.get("QUERY_STRING", "")), path)] += 1
        said: list[Any] = []

        def begin(status: str, headers: Any, *rest: Any) -> None:
            said[:] = [status, headers, *rest]

        body = b"".join(self._moto(environ, begin))
        if method in _WRITES and str(said[0])[:1] == "2":
            with self._turn:
                self._keep(method, path, str(environ.get("QUERY_STRING", "")))
        start(*said)
        return [body]

    def _held(self, connection: Any) -> Iterator[bytes]:
        """Stay until the other end closes; the server ends when nobody is left."""
        with self._turn:
            self._lifelines += 1
            if self._timer is not None:
                self._timer.cancel()
        try:
            yield b"held\r\n"
            with suppress(OSError):
                connection.settimeout(None)
                while connection.recv(64):
                    pass
        finally:
            with self._turn:
                self._lifelines -= 1
                if not self._lifelines:
                    self._timer = threading.Timer(_GRACE_S, self._server.shutdown)
                    self._timer.daemon = True
                    self._timer.start()

    def _read(self) -> None:
        for folder in sorted(self.root.iterdir()):
            if not folder.is_dir():
                continue
            self._s3.create_bucket(folder.name, REGION)
            for path in sorted(folder.rglob("*")):
                if not path.is_file() or path.name.endswith(".tmp"):
                    continue
                key = path.relative_to(folder).as_posix()
                found = self._s3.put_object(folder.name, key, path.read_bytes())
                found.last_modified = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(
                    tzinfo=None
                )

    def _keep(self, method: str, path: str, query: str) -> None:
        """Write to disk what a request has changed."""
        name, _, key = unquote(path).lstrip("/").partition("/")
        bucket = self._s3.buckets.get(name)
        if bucket is None:
            return
        (self.root / name).mkdir(exist_ok=True)
        if key:
            if "uploadId" in parse_qs(query) and method != "POST":
                return  # a part: the object is there once all are
            self._keep_one(bucket, name, key)
        elif method == "POST":  # DeleteObjects
            there = set(bucket.keys)
            folder = self.root / name
            for file in sorted(folder.rglob("*")):
                gone = file.relative_to(folder).as_posix()
                if file.is_file() and gone not in there:
                    self._remove(folder, file)

    def _keep_one(self, bucket: Any, name: str, key: str) -> None:
        folder = self.root / name
        path = folder / key
        found = bucket.keys.get(key)
        if found is None:
            self._remove(folder, path)
            return
        value = bytes(found.value)
        found._etag = hashlib.md5(value, usedforsecurity=False).hexdigest()  # noqa: SLF001 - of parts it is another
        if key.endswith("/"):
            path.mkdir(parents=True, exist_ok=True)
            return
        path.parent.mkdir(parents=True, exist_ok=True)
        portable.write_file(path, value)
        at = found.last_modified.replace(tzinfo=UTC).timestamp()
        os.utime(path, (at, at))

    @staticmethod
    def _remove(folder: Path, path: Path) -> None:
        with suppress(OSError):
            path.unlink(missing_ok=True)
            while path.parent != folder and not any(path.parent.iterdir()):
                path = path.parent
                path.rmdir()


def _kind(method: str, query: str, path: str) -> str:
    """What S3 would count a request as: a bill has these two prices, and deletes are free."""
    if method == "DELETE" or "delete" in parse_qs(query, keep_blank_values=True):
        return "delete"
    is_listing = method == "GET" and not unquote(path).lstrip("/").partition("/")[2]
    return "write" if method in _WRITES or is_listing else "read"
