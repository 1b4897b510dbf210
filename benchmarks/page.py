"""How soon the lineage graph can be used in a browser, and how long the static site takes.

The real command serves a made-up project (``server_data``) to a real Chromium, which starts anew
for each round with nothing cached. Times are the browser's own, from the start of the navigation:
to the first picture of all nodes (``drawn``), and to the picture after the first drag of the
mouse, which is sent as soon as the first picture stands (``panned``). Then a column is chosen and
its path laid out and drawn (``column``), from the call on. Last, the same project is written as a
static site.
"""

import argparse
import json
import os
import shutil
import statistics
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from benchmarks import server_data
from benchmarks.measure import BenchmarkError
from benchmarks.server import served

if TYPE_CHECKING:
    from playwright.sync_api import Page, Playwright

_PROMISE_S = 2.0
_WINDOW = (1360, 860)
_ARGS = ("--no-sandbox", "--disable-gpu", "--no-first-run", "--disable-background-networking")
_NEXT_FRAME = (
    "new Promise(done => requestAnimationFrame(() => requestAnimationFrame("
    "() => done(performance.now() / 1000))))"
)
_LINEAGE = "document.querySelector('[data-graph]').lineage"

_FRAMES = """view => {
    const from = performance.now();
    for (let step = 0; step < 20; step += 1) { view.left += 1; view.draw(); }
    return (performance.now() - from) / 20 / 1000;
}"""
_COLUMN = f"""async lineage => {{
    await lineage.ensureColumns();
    const from = performance.now();
    await lineage.chooseColumn(Math.floor(lineage.graph.count / 2), 0);
    await {_NEXT_FRAME};
    return (performance.now() - from) / 1000;
}}"""
_SIZE = "lineage => [lineage.graph.count, lineage.graph.children.flat().length]"


@dataclass(frozen=True)
class Round:
    """Seconds of one browser; ``frame`` is the script's part of drawing one picture."""

    drawn: float
    panned: float
    frame: float
    column: float


@dataclass(frozen=True)
class Graph:
    """All browsers."""

    nodes: int
    edges: int
    rounds: tuple[Round, ...]

    def median(self, name: str) -> float:
        """Of one time."""
        return float(statistics.median(getattr(one, name) for one in self.rounds))

    def worst(self, name: str) -> float:
        """Of one time."""
        return float(max(getattr(one, name) for one in self.rounds))


@dataclass(frozen=True)
class Site:
    """A static site: what was written, and how long it took."""

    pages: int
    megabytes: float
    seconds: float


def measure(directory: Path, rounds: int) -> Graph:
    """Open the graph in ``rounds`` browsers, after one that is not counted."""
    from playwright.sync_api import sync_playwright

    with served(directory) as (port, _, _), sync_playwright() as playwright:
        found = [_round(playwright, port) for _ in range(rounds + 1)]
    return Graph(found[0][1], found[0][2], tuple(one for one, _, _ in found[1:]))


def _browser(playwright: "Playwright") -> Any:
    found = os.environ.get("CHROMIUM") or shutil.which("chromium")
    return playwright.chromium.launch(executable_path=found, args=list(_ARGS))


def _open(browser: Any, port: int) -> "Page":
    page: Page = browser.new_page(viewport={"width": _WINDOW[0], "height": _WINDOW[1]})
    page.goto(f"http://127.0.0.1:{port}/lineage")
    page.wait_for_selector("[data-graph][data-ready]", timeout=60_000)
    if page.evaluate(f"{_LINEAGE}.scene === null || {_LINEAGE}.scene === undefined"):
        page.click("[data-part=all]")  # more than the page shows unasked
    return page


def _round(playwright: "Playwright", port: int) -> tuple[Round, int, int]:
    """One browser: its times, and how many nodes and edges it drew."""
    browser = _browser(playwright)
    try:
        page = _open(browser, port)
        drawn = page.evaluate("performance.getEntriesByName('graph-ready')[0].startTime / 1000")
        before = page.evaluate(f"{_LINEAGE}.view.left")
        page.mouse.move(500, 450)
        page.mouse.down()
        page.mouse.move(540, 470)
        panned = page.evaluate(_NEXT_FRAME)
        page.mouse.up()
        if page.evaluate(f"{_LINEAGE}.view.left") == before:
            raise BenchmarkError("the graph did not move")
        frame = page.evaluate(f"({_FRAMES})({_LINEAGE}.view)")
        column = page.evaluate(f"({_COLUMN})({_LINEAGE})")
        nodes, edges = page.evaluate(f"({_SIZE})({_LINEAGE})")
        return Round(drawn, panned, frame, column), nodes, edges
    finally:
        browser.close()


def write_site(directory: Path) -> Site:
    """The static site of the project."""
    from headrace.server.state import ServerState
    from headrace.server.static_site import write_site as write

    state = ServerState(
        project="made-up",
        run_store_url=f"sqlite:///{directory / 'headrace.sqlite'}",
        published=directory / "published.duckdb",
    )
    try:
        report = write(state, directory / "site")
    finally:
        state.close()
        shutil.rmtree(directory / "site", ignore_errors=True)
    return Site(report.pages, report.bytes / 1e6, report.seconds)


def markdown(graph: Graph, site: Site) -> str:
    """The table."""
    names = {
        "drawn": "all nodes drawn",
        "panned": "the first drag answered",
        "column": "a column's path shown",
        "frame": "one picture (script)",
    }
    lines = [
        f"{graph.nodes:,} nodes, {graph.edges:,} edges, {len(graph.rounds)} browsers",
        "",
        "| | median s | worst s | promise |",
        "|---|---:|---:|---:|",
    ]
    for name, text in names.items():
        promise = f"{_PROMISE_S:g}" if name == "panned" else ""
        lines.append(f"| {text} | {graph.median(name):.3f} | {graph.worst(name):.3f} | {promise} |")
    lines.append(
        f"| static site, {site.pages:,} pages, {site.megabytes:.0f} MB | {site.seconds:.1f} | | |"
    )
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measure, print the tables."""
    options = argparse.ArgumentParser(description=__doc__)
    options.add_argument("--assets", type=int, nargs="+", default=[1000])
    options.add_argument("--runs", type=int, default=5, help="browsers")
    options.add_argument("--work-dir", type=Path, help="keeps the projects for the next time")
    options.add_argument("--out", type=Path, help="writes the numbers here, as JSON")
    chosen = options.parse_args()
    results = []
    with tempfile.TemporaryDirectory() as temporary:
        for assets in chosen.assets:
            directory = (chosen.work_dir or Path(temporary)) / f"page-{assets}"
            if not (directory / "published.duckdb").exists():
                directory.mkdir(parents=True, exist_ok=True)
                server_data.write(directory, server_data.Size(assets=assets, runs=3))
            graph = measure(directory, chosen.runs)
            site = write_site(directory)
            print(markdown(graph, site), flush=True)
            results.append({"graph": asdict(graph), "site": asdict(site)})
    if chosen.out:
        chosen.out.write_text(json.dumps(results, indent=1))


if __name__ == "__main__":
    main()
