"""How fast `headrace serve` answers, and how much memory it holds, with a project of any size.

The real command serves a made-up project (``server_data``); this process is its clients: each
sends its next request as soon as the last answer is there, over one kept connection. Time is
from the first byte sent to the last one received. No answer is asked for twice in the rows
"new", so none comes from the server's memory of answers; the rows "again" ask for the same.
"""

import argparse
import asyncio
import http.client
import json
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from urllib.parse import quote, urlencode

import psutil

from benchmarks import server_data
from benchmarks.measure import ROOT, BenchmarkError

_PROMISE_MS = 50
_WORDS = ("order", "customer", "payment", "invoice", "product", "session", "refund", "campaign")


@dataclass(frozen=True)
class Line:
    """The answers of one route: milliseconds, of the server's CPU too, and bytes as sent."""

    route: str
    case: str
    requests: int
    median_ms: float
    p95_ms: float
    worst_ms: float
    per_second: float
    cpu_ms: float
    bytes: int


@dataclass(frozen=True)
class Result:
    """One size.

    Attributes:
        assets: without tests.
        clients: at a time.
        shown_seconds: from the start of the command to its first page, which may say to wait.
        start_seconds: to the first whole page.
        idle_mb: resident set of the server then.
        peak_mb: after all requests.
        lines: by route.
    """

    assets: int
    clients: int
    shown_seconds: float
    start_seconds: float
    idle_mb: float
    peak_mb: float
    lines: tuple[Line, ...]


def routes(place: server_data.Place, size: server_data.Size, requests: int) -> dict[str, list[str]]:
    """Addresses by route, each of them once where there are enough different ones."""
    catalog = server_data.make_catalog(size)
    draw = random.Random(1)
    ids = [quote(key, safe="") for key, asset in catalog.assets.items() if not asset.is_test]
    draw.shuffle(ids)
    columns = [
        urlencode({"id": key, "column": asset.columns[0].name})
        for key, asset in catalog.assets.items()
        if asset.columns
    ]
    draw.shuffle(columns)

    def filled(made: Iterator[str]) -> list[str]:
        return list(dict.fromkeys(url for url, _ in zip(made, range(requests), strict=False)))

    def words() -> Iterator[str]:
        while True:
            yield (
                " ".join(draw.choice(_WORDS)[: draw.randint(1, 8)] for _ in range(2))
                + " "
                + str(draw.randrange(100))
            )

    published = [quote(mart.id, safe="") for mart in server_data.marts(catalog)[: size.published]]
    return {
        "healthz": ["/healthz"],
        "home": ["/api/v1/home"],
        "assets": [f"/api/v1/assets?offset={n % size.assets}&limit=50" for n in range(requests)],
        "assets, search": filled(f"/api/v1/assets?{urlencode({'search': w})}" for w in words()),
        "asset": filled(f"/api/v1/asset?id={key}" for key in ids),
        "sample": filled(
            f"/api/v1/sample?id={key}&limit={limit}"
            for limit in range(1, 51) for key in published
        ),
        "lineage": filled(f"/api/v1/lineage?id={key}" for key in ids),
        "lineage of a column": filled(f"/api/v1/lineage?{query}" for query in columns),
        "impact": filled(f"/api/v1/impact?{query}" for query in columns),
        "search": filled(f"/api/v1/search?{urlencode({'q': w})}" for w in words()),
        "runs": [f"/api/v1/runs?limit={1 + n % 500}" for n in range(requests)],
        "run": filled(
            f"/api/v1/run?id=run-{n % size.runs:03d}&offset={n}" for n in range(requests)
        ),
        "changes": [f"/api/v1/changes?limit={1 + n % 1000}" for n in range(requests)],
    }  # fmt: skip


async def _client(port: int, urls: Iterator[str], times: list[float], sizes: list[int]) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for url in urls:
            request = (
                f"GET {url} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nAccept-Encoding: gzip\r\n\r\n"
            )
            started = time.perf_counter()
            writer.write(request.encode("ascii"))
            head = await reader.readuntil(b"\r\n\r\n")
            if not head.startswith(b"HTTP/1.1 200"):
                raise BenchmarkError(f"{url}: {head[:200]!r}")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            await reader.readexactly(length)
            times.append(time.perf_counter() - started)
            sizes.append(length)
    finally:
        writer.close()


async def _measure(port: int, urls: Sequence[str], clients: int) -> tuple[list[float], int, float]:
    times: list[float] = []
    sizes: list[int] = []
    shared = iter(urls)
    started = time.perf_counter()
    await asyncio.gather(*(_client(port, shared, times, sizes) for _ in range(clients)))
    return times, int(statistics.median(sizes)), time.perf_counter() - started


def _line(
    route: str, case: str, port: int, server: psutil.Process, urls: Sequence[str], clients: int
) -> Line:
    before = server.cpu_times()
    times, size, seconds = asyncio.run(_measure(port, urls, clients))
    after = server.cpu_times()
    cpu = after.user + after.system - before.user - before.system
    ordered = sorted(time * 1000 for time in times)
    return Line(
        route,
        case,
        requests=len(times),
        median_ms=statistics.median(ordered),
        p95_ms=ordered[int(len(ordered) * 0.95)],
        worst_ms=ordered[-1],
        per_second=len(times) / seconds,
        cpu_ms=cpu * 1000 / len(times),
        bytes=size,
    )


def _answered(port: int, started: float, *, statuses: set[int]) -> float:
    """Seconds until a page is answered with one of these statuses."""
    while True:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=120)
        try:
            connection.request("GET", "/", headers={"accept": "text/html"})
            if connection.getresponse().status in statuses:
                return time.perf_counter() - started
        finally:
            connection.close()
        time.sleep(0.1)


@contextmanager
def served(directory: Path) -> Iterator[tuple[int, psutil.Process, tuple[float, float]]]:
    """The command, serving a directory: its port, its process, and the seconds that it took.

    The first of these are to a page, perhaps one that says to wait; the others to the home page.
    """
    started = time.perf_counter()
    command = [
        sys.executable, "-m", "headrace", "serve", "--port", "0", "--project-dir", str(ROOT),
        "--set", f"data_dir={directory}",
    ]  # fmt: skip
    process = subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT)
    try:
        assert process.stdout is not None
        said = process.stdout.readline()
        if not said:
            raise BenchmarkError(f"headrace serve ended with {process.wait()}")
        port = int(said.partition("127.0.0.1:")[2].partition("/")[0])
        shown = _answered(port, started, statuses={200, 503})
        yield port, psutil.Process(process.pid), (shown, _answered(port, started, statuses={200}))
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=30)


def measure(directory: Path, size: server_data.Size, *, clients: int, requests: int) -> Result:
    """Write the project where it is not there yet, serve it and ask."""
    place = server_data.Place(
        f"sqlite:///{directory / 'headrace.sqlite'}", directory / "published.duckdb"
    )
    if not place.published.exists():
        directory.mkdir(parents=True, exist_ok=True)
        server_data.write(directory, size)
    asked = routes(place, size, requests)
    lines: list[Line] = []
    with served(directory) as (port, process, (shown, start)):
        idle = process.memory_info().rss
        for route, urls in asked.items():
            if len(urls) == 1:
                lines.append(_line(route, "again", port, process, urls * requests, clients))
                continue
            lines.append(_line(route, "new", port, process, urls, clients))
            again = (urls[:20] * requests)[:requests]
            lines.append(_line(route, "again", port, process, again, clients))
        mixed = [url for route, urls in asked.items() for url in urls[: requests // 5]]
        random.Random(2).shuffle(mixed)
        lines.append(_line("all of them, mixed", "both", port, process, mixed, clients))
        peak = process.memory_info().rss
    return Result(size.assets, clients, shown, start, idle / 1e6, peak / 1e6, tuple(lines))


def markdown(result: Result) -> str:
    """A table."""
    parts = [
        f"### {result.assets:,} assets, {result.clients} clients\n\n",
        f"First page after {result.shown_seconds:.1f} s, ",
        f"all of it after {result.start_seconds:.1f} s. ",
        f"The server then holds {result.idle_mb:,.0f} MB, ",
        f"{result.peak_mb:,.0f} MB after all requests.\n\n",
        "| route | case | requests | median ms | p95 ms | worst ms | a second | CPU ms | kB |",
        " promise |\n",
        "|---|---|---:|---:|---:|---:|---:|---:|---:|---|\n",
    ]
    for line in result.lines:
        kept = "kept" if line.p95_ms < _PROMISE_MS else "missed"
        parts.append(
            f"| {line.route} | {line.case} | {line.requests:,} | {line.median_ms:.1f} | "
            f"{line.p95_ms:.1f} | {line.worst_ms:.1f} | {line.per_second:,.0f} | "
            f"{line.cpu_ms:.2f} | {line.bytes / 1000:.1f} | {_PROMISE_MS} ms, {kept} |\n"
        )
    return "".join(parts)


def main() -> None:
    """Measure, print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--assets", type=int, nargs="+", default=[5000])
    options.add_argument("--runs", type=int, default=20, help="recorded runs, with all nodes")
    options.add_argument("--clients", type=int, default=20)
    options.add_argument("--requests", type=int, default=1000, help="of each route")
    options.add_argument("--work-dir", type=Path, help="keeps the projects for the next time")
    options.add_argument("--out", type=Path, help="writes the numbers here, as JSON")
    chosen = options.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for assets in chosen.assets:
            size = server_data.Size(assets=assets, runs=chosen.runs)
            directory = (chosen.work_dir or Path(temporary)) / f"served-{assets}-{chosen.runs}"
            result = measure(directory, size, clients=chosen.clients, requests=chosen.requests)
            print(markdown(result), flush=True)
            results.append(result)
    if chosen.out:
        chosen.out.write_text(json.dumps([asdict(one) for one in results], indent=1))


if __name__ == "__main__":
    main()
