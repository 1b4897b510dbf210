"""Each page of a project with trouble, looked at: two widths, two themes, and what axe says.

Screenshots are kept where ``HEADRACE_SCREENSHOTS`` names a folder. They are compared by boxes, not
by pixels (decision 36): both themes lay a page out alike, and a phone shows the same parts.
"""

import re
from collections import defaultdict
from collections.abc import Iterator
from datetime import datetime, tzinfo
from itertools import product
from typing import Any, ClassVar, Self, cast

import pytest
from browser import AXE, Eye, Theme, keep, launched, overflow, ready, serving
from playwright.sync_api import Page, expect, sync_playwright
from troubled_project import EMPTY_TABLE, TroubledProject

from headrace.pipeline.quality import monitor_status
from headrace.server import queries
from headrace.server.state import open_state

WIDTHS = ((1440, 900), (390, 844))
THEMES: tuple[Theme, ...] = ("light", "dark")
TOLERANCE_PX = 1
MOST_SHIFT = 0.1
ORDERS = "model.headrace.orders"
STACKED = {
    "Columns", "Profile", "Rows over time as a table", "Tables that are not healthy",
}  # fmt: skip
"""Tables of which a phone shows each row as lines, and that never scroll sideways there."""

_SHIFTS = """
window.shift = 0;
new PerformanceObserver((list) => {
  for (const one of list.getEntries()) if (!one.hadRecentInput) window.shift += one.value;
}).observe({ type: "layout-shift", buffered: true });
"""
_BOXES = """[...document.querySelectorAll("main > *, main .card, main h2, main th, main td")]
  .filter((one) => one.checkVisibility())
  .map((one) => { const box = one.getBoundingClientRect();
    return [one.tagName, box.x, box.y + scrollY, box.width, box.height]; })"""
_BROKEN = """(() => {
  const broken = [];
  const walk = document.createTreeWalker(document.querySelector("main"), NodeFilter.SHOW_TEXT);
  while (walk.nextNode()) {
    const text = walk.currentNode;
    const place = text.parentElement;
    if (!place.checkVisibility() || !place.closest("table, .facts, .status")) continue;
    for (const word of text.data.matchAll(/[A-Za-z0-9]{2,18}/g)) {
      const range = new Range();
      range.setStart(text, word.index);
      range.setEnd(text, word.index + word[0].length);
      const tops = new Set([...range.getClientRects()].map((rect) => Math.round(rect.top)));
      if (tops.size > 1) broken.push(word[0]);
    }
  }
  return broken;
})()"""
_INNER_SCROLL = """[...document.querySelectorAll("main .scroll")]
  .filter((one) => one.scrollHeight > one.clientHeight + 2).map((one) => one.ariaLabel)"""
_SIDEWAYS = """Object.fromEntries([...document.querySelectorAll("main .scroll")]
  .map((one) => [one.ariaLabel, one.scrollWidth - one.clientWidth]))"""
_UNFOLD = "document.querySelectorAll('main details').forEach((one) => { one.open = true; })"
_AXE = """(more) => axe.run({ resultTypes: ["violations"], ...more }).then((found) =>
  found.violations.flatMap((one) =>
    one.nodes.map((node) => `${one.id} ${node.target} ${node.failureSummary}`)))"""
_RULES: dict[Theme, dict[str, list[str]]] = {
    "light": {},
    "dark": {"runOnly": ["color-contrast", "link-in-text-block"]},
}
"""For axe: the themes differ in colours alone, as the boxes tell."""


class _Stopped(datetime):
    """A clock that stands still from its first look on."""

    _now: ClassVar[datetime | None] = None

    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Self:
        cls._now = cls._now or super().now(tz)
        return cast("Self", cls._now)


@pytest.fixture(scope="module")
def pages(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Eye, dict[str, str]]]:
    """The server over the project, and the address of each page."""
    with sync_playwright() as playwright:
        browser = launched(playwright)
        project = TroubledProject(tmp_path_factory.mktemp("trouble"))
        statuses = [report.status for report in project.run_all()]
        assert statuses == ["success", "failed", "success", "failed"]
        state = open_state(project.lab.resolved)
        runs = [one.run_id for one in queries.runs(state).runs]
        failing = queries.home(state).failing[0].id
        addresses = {
            "home": "",
            "assets": "assets",
            "mart": f"assets/{ORDERS}?sample=1",
            "quarantine": "assets/table.parcels_raw.parcels",
            "test": f"assets/{failing}",
            "profile": f"profile?asset={ORDERS}&column=amount",
            "quality": "quality",
            "metrics": f"metrics?asset={ORDERS}&metric=rows",
            "lineage": "lineage",
            "column": f"lineage?asset={ORDERS}&column=amount",
            "impact": "impact?asset=table.jaffle_shop_raw.raw_payments&column=amount",
            "comparison": "comparison",
            "runs": "runs",
            "run-failed": f"runs/{runs[0]}",
            "run-repaired": f"runs/{runs[1]}",
            "changes": "changes",
            "nothing": "assets/model.headrace.order",
        }
        if EMPTY_TABLE in state.snapshot().index.catalog.assets:
            addresses["empty"] = f"assets/{EMPTY_TABLE}"
        # what depends on the time must not change from one theme to the other
        with pytest.MonkeyPatch.context() as patch, serving(state) as base:
            patch.setattr(monitor_status, "datetime", _Stopped)
            eye = Eye(browser, base, forgiven=("404",))
            with eye.page() as page:  # both themes see what was compared
                page.goto("comparison")
                expect(page.get_by_role("heading", level=2).first).to_be_visible()
            yield eye, addresses
        browser.close()


def _open(page: Page, address: str) -> None:
    page.goto(address)
    if address.startswith("lineage"):
        ready(page)


def test_each_page_is_whole_calm_and_accessible_in_both_themes_and_widths(
    pages: tuple[Eye, dict[str, str]],
) -> None:
    """A theme moves nothing, and a phone has the same parts in the same order."""
    eye, addresses = pages
    boxes: dict[tuple[str, int], list[list[Any]]] = defaultdict(list)
    heads: dict[str, list[list[str]]] = defaultdict(list)
    for size, theme in product(WIDTHS, THEMES):
        with eye.page(theme, size) as page:
            page.add_init_script(_SHIFTS)
            page.add_init_script(path=AXE)
            page.clock.set_fixed_time("2030-01-01T00:00:00Z")
            for name, address in addresses.items():
                _open(page, address)
                keep(page, f"screen-{name}-{size[0]}-{theme}")
                where = (name, size, theme)
                assert page.evaluate("shift") < MOST_SHIFT, where
                assert overflow(page) <= 0, where
                assert page.evaluate(_INNER_SCROLL) == [], where
                assert page.evaluate(_BROKEN) == [], where
                boxes[name, size[0]].append(page.evaluate(_BOXES))
                heads[name].append(page.locator("main h1, main h2").all_inner_texts())
                assert page.evaluate(_AXE, _RULES[theme]) == [], where
                assert page.locator("h1").count() == 1, where
                if name.startswith("run-"):
                    expect(page.get_by_role("heading", name="Timeline")).to_be_visible()
    for (name, _), (light, dark) in boxes.items():
        _alike(name, light, dark)
    for name, found in heads.items():
        assert found == [found[0]] * 4, name


def _alike(name: str, one: list[Any], other: list[Any]) -> None:
    assert [box[0] for box in one] == [box[0] for box in other], name
    for first, second in zip(one, other, strict=True):
        far = max(abs(a - b) for a, b in zip(first[1:], second[1:], strict=True))
        assert far <= TOLERANCE_PX, (name, first, second)


def test_each_page_fits_the_smallest_phone(pages: tuple[Eye, dict[str, str]]) -> None:
    eye, addresses = pages
    seen: set[str] = set()
    with eye.page("light", (320, 640)) as page:
        for name, address in addresses.items():
            _open(page, address)
            page.evaluate(_UNFOLD)
            keep(page, f"screen-{name}-320-light")
            assert overflow(page) <= 0, name
            sideways = page.evaluate(_SIDEWAYS)
            assert {one: sideways[one] for one in STACKED & sideways.keys() if sideways[one]} == {}
            seen |= sideways.keys()
            if name in {"mart", "quarantine"}:
                assert {"Columns", "Profile", "Rows over time as a table"} <= sideways.keys(), name
                assert page.evaluate(_BROKEN) == [], name
    assert seen >= STACKED


def test_times_are_switched_to_utc_and_local_by_a_button(pages: tuple[Eye, dict[str, str]]) -> None:
    eye, _ = pages
    context = eye.browser.new_context(base_url=f"{eye.base}/", timezone_id="Asia/Kolkata")
    page = context.new_page()
    page.goto("runs")
    first = page.locator("tbody time").first
    expect(first).to_contain_text(re.compile("now|ago"))
    button = page.get_by_role("button", name="Times: ago")
    button.focus()
    page.keyboard.press("Enter")
    expect(first).to_contain_text("UTC")
    page.get_by_role("button", name="Times: UTC").click()
    expect(first).to_contain_text("GMT+5:30")
    page.goto("")
    expect(page.get_by_role("button", name="Times: local")).to_be_visible()
    context.close()


def test_rows_are_searched_sorted_and_copied(pages: tuple[Eye, dict[str, str]]) -> None:
    eye, addresses = pages
    with eye.page() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.goto(addresses["mart"])
        rows = page.locator("table.sample tbody tr")
        expect(rows).to_have_count(20)
        page.get_by_label("Sort by").select_option("order_id")
        page.get_by_label("Order", exact=True).select_option("Descending")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(rows.first.locator("td").first).to_have_text("60")
        page.get_by_role("button", name="Copy as CSV").click()
        lines = str(page.evaluate("navigator.clipboard.readText()")).splitlines()
        assert len(lines) == 21
        assert lines[0].startswith("order_id,customer_id,status")
        assert lines[1].startswith("60,")
        page.get_by_label("Rows that contain").fill("nothing has this")
        page.get_by_role("button", name="Show", exact=True).click()
        expect(page.get_by_text("No row contains this.")).to_be_visible()


def test_what_cannot_be_loaded_says_so_and_is_tried_again(
    pages: tuple[Eye, dict[str, str]],
) -> None:
    eye = Eye(pages[0].browser, pages[0].base, forgiven=("Failed to load", "could not be read"))
    with eye.page() as page:
        page.route("**/data/graph.json", lambda route: route.abort())
        page.goto("lineage")
        expect(page.get_by_role("alert")).to_contain_text("The graph could not be loaded")
        page.get_by_role("combobox", name="Find an asset").fill("orders")
        expect(page.locator("#quick-list")).to_contain_text("could not be loaded")
        page.unroute("**/data/graph.json")
        page.get_by_role("button", name="Try again").click()
        ready(page)
        eye.complaints.clear()


def test_an_address_that_is_nearly_right_is_corrected(pages: tuple[Eye, dict[str, str]]) -> None:
    eye, addresses = pages
    with eye.page() as page:
        page.goto(addresses["nothing"])
        page.get_by_text("Did you mean").get_by_role("link", name="orders", exact=True).click()
        expect(page.locator("h1")).to_have_text("orders")


def test_high_contrast_keeps_strips_and_switches(pages: tuple[Eye, dict[str, str]]) -> None:
    eye, addresses = pages
    with eye.page() as page:
        page.emulate_media(forced_colors="active")
        page.goto(addresses["mart"])
        ground = "(one) => getComputedStyle(one).backgroundColor"
        canvas = page.evaluate("getComputedStyle(document.body).backgroundColor")
        assert page.locator(".strip i").first.evaluate(ground) != canvas
        assert page.locator(".switch input").first.evaluate(ground) != canvas
