"""The part of Azure's Blob service that reading takes: list, head and get, on loopback."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler
from urllib.parse import parse_qs, urlsplit

from file_server import serving

_TIME = "Fri, 27 Nov 2026 10:00:00 GMT"


@dataclass
class BlobServer:
    """The blobs of the container ``lake``.

    Attributes:
        endpoint: of the account ``acct``.
        blobs: content and version by name.
        read: the names whose content was given.
    """

    endpoint: str = ""
    blobs: dict[str, tuple[bytes, int]] = field(default_factory=dict)
    read: list[str] = field(default_factory=list)

    @property
    def connection_string(self) -> str:
        """As Azure's libraries take it."""
        key = "a2V5a2V5a2V5a2V5a2V5"
        return f"AccountName=acct;AccountKey={key};BlobEndpoint={self.endpoint};"

    def listing(self, prefix: str, delimiter: str) -> bytes:
        """The answer to a list of blobs."""
        items: dict[str, str] = {}
        for name, (content, version) in sorted(self.blobs.items()):
            if not name.startswith(prefix):
                continue
            folder, found, _ = name[len(prefix) :].partition(delimiter or "\0")
            if found:
                path = f"{prefix}{folder}{delimiter}"
                items[path] = f"<BlobPrefix><Name>{path}</Name></BlobPrefix>"
                continue
            items[name] = (
                f"<Blob><Name>{name}</Name><Properties><Creation-Time>{_TIME}</Creation-Time>"
                f"<Last-Modified>{_TIME}</Last-Modified>"
                f"<Etag>0x{version}</Etag><Content-Length>{len(content)}</Content-Length>"
                "<BlobType>BlockBlob</BlobType></Properties></Blob>"
            )
        return (
            '<?xml version="1.0"?><EnumerationResults ContainerName="lake">'
            f"<Blobs>{''.join(items.values())}</Blobs>"
            "<NextMarker/></EnumerationResults>"
        ).encode()


@contextmanager
def blob_server() -> Iterator[BlobServer]:
    """Serve until the block ends."""
    server = BlobServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True  # a body would wait 40 ms for the receipt of its header

        def do_HEAD(self) -> None:
            self.do_GET()

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            query = {key: values[0] for key, values in parse_qs(url.query).items()}
            _, _, container, *rest = [*url.path.split("/"), ""]
            name = "/".join(rest).rstrip("/")
            if container != "lake" or (name and name not in server.blobs):
                code = "BlobNotFound" if container == "lake" else "ContainerNotFound"
                self._answer(404, {"x-ms-error-code": code}, b"")
            elif query.get("comp") == "list":
                found = server.listing(query.get("prefix", ""), query.get("delimiter", ""))
                self._answer(200, {"Content-Type": "application/xml"}, found)
            elif not name:
                self._answer(200, {"ETag": '"0x1"', "Last-Modified": _TIME}, b"")
            else:
                self._give(name)

        def _give(self, name: str) -> None:
            content, version = server.blobs[name]
            headers = {"ETag": f'"0x{version}"', "Last-Modified": _TIME}
            headers["x-ms-blob-type"] = "BlockBlob"
            asked = self.headers.get("x-ms-range", "")
            status, part = 200, content
            if asked and self.command == "GET":
                first, _, last = asked.removeprefix("bytes=").partition("-")
                part = content[int(first) : int(last or len(content)) + 1]
                end = int(first) + len(part) - 1
                status = 206
                headers["Content-Range"] = f"bytes {first}-{end}/{len(content)}"
            if self.command == "GET":
                server.read.append(name)
            self._answer(status, headers, part)

        def _answer(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for key, text in {**headers, "Content-Length": str(len(body))}.items():
                self.send_header(key, text)
            self.end_headers()
            if self.command == "GET":
                self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            del args

    with serving(Handler) as url:
        server.endpoint = f"{url}/acct"
        yield server
