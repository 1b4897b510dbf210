"""A real Chromium to look at pages with, and a server to look at, each started once."""

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from playwright.sync_api import Browser, BrowserContext, Page, Playwright, Request, expect

from chromium import launch
from headrace.server.access import Access
from headrace.server.app import create_app
from headrace.server.state import ServerState

AXE = Path(__file__).parents[1] / "fixtures" / "axe" / "axe.min.js"
DESKTOP = (1360, 860)
PHONE = (360, 740)
PATIENCE_MS = 120_000
Theme = Literal["light", "dark"]


def launched(playwright: Playwright) -> Browser:
    """A browser; the test is skipped where there is none."""
    expect.set_options(timeout=PATIENCE_MS)
    return launch(playwright)


@dataclass
class Eye:
    """Looks at pages of one origin, and remembers all that a browser complains about.

    Attributes:
        base: the origin, and the path below which the site stands, without a slash at its end.
        complaints: errors on the console, exceptions, and requests to other places.
        forgiven: parts of console messages that are expected.
    """

    browser: Browser
    base: str
    complaints: list[str] = field(default_factory=list)
    forgiven: tuple[str, ...] = ()

    @contextmanager
    def page(
        self, theme: Theme = "light", size: tuple[int, int] = DESKTOP, *, script: bool = True
    ) -> Iterator[Page]:
        """A page in a context of its own, with nothing complained about at its end."""
        context = self.browser.new_context(
            viewport={"width": size[0], "height": size[1]},
            color_scheme=theme,
            java_script_enabled=script,
            reduced_motion="reduce",
            base_url=self.base + "/",
        )
        context.set_default_timeout(PATIENCE_MS)
        self._watch(context)
        try:
            yield context.new_page()
            said = list(self.complaints)
            assert said == [], said
        finally:
            self.complaints.clear()
            context.close()

    def _watch(self, context: BrowserContext) -> None:
        def note(kind: str, text: str) -> None:
            if not any(part in text for part in self.forgiven):
                self.complaints.append(f"{kind}: {text}")

        def asked(request: Request) -> None:
            url = urlsplit(request.url)
            if url.scheme != "data" and f"{url.scheme}://{url.netloc}" != self._origin:
                note("request to elsewhere", request.url)

        def on_page(page: Page) -> None:
            page.on("pageerror", lambda error: note("exception", str(error)))
            page.on("dialog", lambda dialog: note("dialog", dialog.message))

        context.on("request", asked)
        context.on("page", on_page)
        context.on(
            "console",
            lambda message: (
                note(message.type, message.text) if message.type in {"error", "warning"} else None
            ),
        )

    @property
    def _origin(self) -> str:
        url = urlsplit(self.base)
        return f"{url.scheme}://{url.netloc}"


def violations(page: Page) -> list[str]:
    """What axe finds that is serious or worse: the rule and where."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    found = page.evaluate(
        "axe.run({resultTypes: ['violations']}).then(result => result.violations"
        ".filter(one => ['serious', 'critical'].includes(one.impact))"
        ".flatMap(one => one.nodes.map(node =>"
        " `${one.id} ${node.target} ${node.failureSummary}`)))"
    )
    return [str(one) for one in found]


def overflow(page: Page) -> int:
    """By how many pixels the page is wider than the window."""
    return int(page.evaluate("document.documentElement.scrollWidth - window.innerWidth"))


def ready(page: Page) -> None:
    """Wait until the graph stands."""
    page.wait_for_selector("[data-graph][data-ready]")


def keep(page: Page, name: str) -> None:
    """A screenshot for people, where HEADRACE_SCREENSHOTS names a folder."""
    folder = os.environ.get("HEADRACE_SCREENSHOTS")
    if folder:
        Path(folder).mkdir(parents=True, exist_ok=True)
        page.screenshot(path=Path(folder) / f"{name}.png")


@contextmanager
def serving(state: ServerState, access: Access | None = None) -> Iterator[str]:
    """The app in a thread; gives its origin."""
    import uvicorn

    with socket.create_server(("127.0.0.1", 0)) as listening:
        app = create_app(state, access or Access())
        config = uvicorn.Config(app, log_level="warning", ws="none", timeout_graceful_shutdown=3)
        server = uvicorn.Server(config)
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
        thread.start()
        while not server.started:
            assert thread.is_alive()
            time.sleep(0.02)
        try:
            yield f"http://127.0.0.1:{listening.getsockname()[1]}"
        finally:
            server.should_exit = True
            thread.join(120)
