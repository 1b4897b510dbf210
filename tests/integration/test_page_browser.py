"""The page in a real Chromium, over a real run, a thousand nodes, and names that mean harm."""

import itertools
import random
import shutil
import threading
from collections.abc import Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import quote, urljoin, urlsplit
from urllib.request import urlopen

import pytest
from browser import PHONE, Eye, keep, launched, overflow, ready, serving, violations
from lab import Lab
from page_lab import EVIL, hostile, layered, lived_in, stored
from playwright.sync_api import Browser, Page, expect, sync_playwright

from headrace.catalog import RunStore
from headrace.lineage.find import NodeRef
from headrace.lineage.trace import trace
from headrace.server.access import Access
from headrace.server.state import ServerState, open_state
from headrace.server.static_site import write_site

CUSTOMERS = "model.headrace.customers"
NODE = "model.big.fct_orders_daily_0"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        found = launched(playwright)
        yield found
        found.close()


@pytest.fixture(scope="module")
def shop_lab(_sample_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Lab:
    """The jaffle shop after a run, and a worse one over a catalog that had changed."""
    data_dir = tmp_path_factory.mktemp("lived") / "data"
    shutil.copytree(_sample_run, data_dir)
    lab = Lab(data_dir)
    lived_in(lab.resolved.run_store_url)
    return lab


@pytest.fixture(scope="module")
def shop(browser: Browser, shop_lab: Lab) -> Iterator[Eye]:
    with serving(open_state(shop_lab.resolved)) as base:
        yield Eye(browser, base)


@pytest.fixture(scope="module")
def big_state(tmp_path_factory: pytest.TempPathFactory) -> ServerState:
    """A thousand nodes, and a run in which tests fail."""
    return _state("big", stored(layered(1000), tmp_path_factory.mktemp("big") / "runs.sqlite"))


@pytest.fixture(scope="module")
def big(browser: Browser, big_state: ServerState) -> Iterator[Eye]:
    with serving(big_state) as base:
        yield Eye(browser, base)


@pytest.fixture(scope="module")
def evil_state(tmp_path_factory: pytest.TempPathFactory) -> ServerState:
    """A project whose names are scripts, paths and worse."""
    folder = tmp_path_factory.mktemp("evil")
    return _state("<b>evil</b>", stored(hostile(), folder / "runs.sqlite"))


@pytest.fixture(scope="module")
def evil(browser: Browser, evil_state: ServerState) -> Iterator[Eye]:
    with serving(evil_state) as base:
        yield Eye(browser, base)


def _state(project: str, url: str) -> ServerState:
    missing = Path(url.removeprefix("sqlite:///")).with_name("published.duckdb")
    return ServerState(project=project, run_store_url=url, published=missing)


def test_a_phone_scrolls_no_page_sideways(big: Eye, evil: Eye) -> None:
    first = quote(f"model.evil.{'a' * 100}")
    for eye, pages in (
        (big, {"graph-1000": "lineage", "big-assets": "assets", "big-run": "runs/run-2"}),
        (evil, {"evil": "", "evil-assets": "assets", "evil-asset": f"assets/{first}"}),
    ):
        with eye.page("light", PHONE) as page:
            for name, path in pages.items():
                page.goto(path)
                if path.startswith("lineage"):
                    ready(page)
                keep(page, f"{name}-phone")
                assert overflow(page) <= 0, name


def test_all_pages_are_reached_by_keyboard_alone(shop: Eye) -> None:
    with shop.page() as page:
        page.goto("")
        page.keyboard.press("Tab")
        expect(page.locator(".skip")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("main")).to_be_focused()
        page.goto("assets")
        page.goto("")
        for name in ("Assets", "Lineage", "Runs", "Changes", "Home"):
            _tab_to(page, name)
            page.keyboard.press("Enter")
            expect(page.locator("nav a[aria-current]")).to_have_text(name)
        expect(page.locator("[data-quick][data-ready]")).to_be_visible()
        page.keyboard.press("/")
        expect(page.get_by_role("combobox")).to_be_focused()
        page.keyboard.type("stg_jaffle_shop__cust")
        expect(page.get_by_role("option")).to_have_count(2)
        page.keyboard.press("ArrowDown")
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("stg_jaffle_shop__customers")


def test_what_no_name_has_is_searched_in_columns_and_descriptions(shop: Eye) -> None:
    with shop.page() as page:
        page.goto("")
        page.get_by_role("combobox").fill("lifetime value")
        expect(page.get_by_role("option")).to_have_count(1)
        expect(page.get_by_role("option")).to_contain_text("No name has this")
        assert violations(page) == []
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("Assets")
        expect(page.get_by_role("link", name="customers", exact=True)).to_be_visible()


def test_the_first_hit_is_the_mart_and_the_address_keeps_what_was_chosen(shop: Eye) -> None:
    names = "table.assets tbody tr:visible a.name"
    with shop.page() as page:
        page.goto("assets?search=order")
        assert page.locator(names).first.text_content() == "orders"
        expect(page.locator("[data-quick][data-ready]")).to_be_visible()
        page.get_by_role("combobox", name="Find an asset").fill("order")
        expect(page.get_by_role("option").first).to_contain_text("orders model marts.orders")
        page.keyboard.press("Escape")
        page.goto("assets")
        marts = page.locator(names).all_text_contents()
        assert {"customers", "orders"} == set(marts[:2])
        head = page.locator("button.sort", has_text="Columns")
        head.click()
        assert page.url.endswith("?sort=columns")
        head.press("Enter")
        assert page.url.endswith("?sort=-columns")
        most = page.locator(names).all_text_contents()
        page.go_back()
        expect(page.locator("th[aria-sort=ascending]")).to_have_count(1)
        page.go_back()
        expect(page.locator("th[aria-sort]")).to_have_count(0)
        assert page.locator(names).all_text_contents() == marts
        page.goto("assets?sort=-columns")
        expect(page.locator("th[aria-sort=descending]")).to_have_count(1)
        assert page.locator(names).all_text_contents() == most


def _tab_to(page: Page, name: str) -> None:
    for _ in range(30):
        page.keyboard.press("Tab")
        if page.evaluate("document.activeElement.textContent.trim()") == name:
            return
    raise AssertionError(f"{name} is not reached by Tab")


def test_the_graph_is_walked_by_keyboard(big: Eye, big_state: ServerState) -> None:
    catalog = big_state.snapshot().index.catalog
    name = catalog.assets[NODE].name
    with big.page() as page:
        page.goto(f"lineage?asset={NODE}")
        ready(page)
        say = page.locator("[data-part=say]")
        expect(say).to_contain_text(f"{name}, model")
        page.locator("[data-part=stage]").focus()
        page.keyboard.press("ArrowLeft")
        parents = [catalog.assets[key].name for key in catalog.parents[NODE]]
        assert any(parent in str(say.text_content()) for parent in parents)
        chosen = _lineage(page, "l.graph.ids[l.chosen]")
        before = int(_lineage(page, "l.scene.nodes.length"))
        hidden = [
            key
            for key in catalog.children[chosen]
            if key not in _lineage(page, "l.scene.nodes.map(node => l.graph.ids[node])")
            and not catalog.assets[key].is_test
        ]
        page.keyboard.press("Shift+ArrowRight")
        assert int(_lineage(page, "l.scene.nodes.length")) == before + len(hidden)
        scale = _lineage(page, "l.view.scale")
        page.keyboard.press("+")
        assert _lineage(page, "l.view.scale") > scale
        page.keyboard.press("0")
        page.keyboard.press("/")
        expect(page.locator("[data-part=search]")).to_be_focused()
        page.keyboard.type("dash_orders_daily_0")
        page.keyboard.press("Enter")
        expect(page.locator(".panel-title")).to_have_text("dash_orders_daily_0")
        expect(page.locator("[data-part=stage]")).to_be_focused()
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("dash_orders_daily_0")


def test_the_graph_shows_verdict_freshness_rows_and_run_time(shop: Eye) -> None:
    told = "[...l.scene.nodes.keys()].map(node => l.scene.told(node))"
    with shop.page() as page:
        page.goto(f"lineage?asset={CUSTOMERS}&overlay=rows")
        ready(page)
        assert "100" in _lineage(page, told)
        page.locator("[data-part=overlay]").select_option("verdict")
        assert "overlay=verdict" in page.url
        assert set(_lineage(page, told)) & {"healthy", "failing", "behind"}
        page.locator("[data-part=overlay]").select_option("seconds")
        assert any(text.endswith(" s") for text in _lineage(page, told))
        expect(page.locator("[data-part=panel]")).to_contain_text("Rows: 100")


SEEN_WHOLE = (
    "(({left, right, top, bottom}, v) => left * v.scale + v.left >= 0 && right * v.scale + v.left"
    " <= v.width && top * v.scale + v.top >= 0 && bottom * v.scale + v.top <= v.height)"
    "(l.view.bounds(), l.view)"
)


def test_a_picture_opens_whole_or_on_what_was_asked_for_with_a_hint(shop: Eye) -> None:
    with shop.page() as page:
        for path in ("lineage", f"lineage?asset={CUSTOMERS}"):
            page.goto(path)
            ready(page)
            assert _lineage(page, SEEN_WHOLE) is True, path
    with shop.page(size=PHONE) as page:
        page.goto(f"lineage?asset={CUSTOMERS}&column=customer_lifetime_value")
        ready(page)
        expect(page.locator("[data-part=say]")).to_contain_text("Fit, or the key 0, shows all")
        node = "l.view.box(l.scene.local.get(l.chosen))"
        assert _lineage(page, f"{node}.left >= 0 && {node}.right <= l.view.width")
        page.get_by_role("button", name="Fit").click()
        assert _lineage(page, SEEN_WHOLE) is True


def _lineage(page: Page, expression: str) -> Any:
    """An expression over the page's lineage object ``l``."""
    return page.evaluate(f"(l => {expression})(document.querySelector('[data-graph]').lineage)")


@pytest.mark.parametrize(("column", "indirect"), [("amount", True), ("id", False)])
def test_column_mode_highlights_what_the_command_lists(
    big: Eye, big_state: ServerState, column: str, indirect: bool
) -> None:
    catalog = big_state.snapshot().index.catalog
    graph = trace(catalog, NodeRef(NODE, column), direction="both", depth=None, indirect=indirect)
    with big.page() as page:
        page.goto(f"lineage?asset={NODE}&column={column}")
        ready(page)
        if not indirect:
            page.get_by_label("filters and joins too").uncheck()
        found = _lineage(
            page,
            "[...l.path.columns].flatMap(([node, columns]) => [...columns.keys()].map(column =>"
            " [l.graph.ids[node], column < 0 ? '' : l.columns.names[node][column]]))",
        )
        expected = {(node.id, name) for node in graph.nodes for name in node.columns}
        expected |= {(node.id, "") for node in graph.nodes if node.rows}
        assert {(asset, name) for asset, name in found} == expected
        direct = _lineage(
            page,
            "l.path.links.filter(link => link.direct).map(link => [l.graph.ids[link.parent],"
            " l.graph.ids[link.child]])",
        )
        if column == "amount":
            flow = trace(
                catalog, NodeRef(NODE, column), direction="both", depth=None, indirect=False
            )
            links = {(link.parent, link.child) for link in flow.links}
            assert {(parent, child) for parent, child in direct} == links
        page.locator("[data-part=stage]").focus()
        page.keyboard.press("ArrowLeft")  # another asset of the path: the path stays
        assert page.url.endswith(f"asset={NODE}&column={column}")
        assert _lineage(page, "l.path !== null && l.chosen !== l.origin")
        page.get_by_role("checkbox", name="the path only").check()
        assert int(_lineage(page, "l.scene.nodes.length")) == len({node.id for node in graph.nodes})
        keep(page, f"column-{column}-{indirect}")
        page.locator("[data-part=stage]").focus()
        page.keyboard.press("Escape")
        assert _lineage(page, "l.path") is None
        page.keyboard.press("Escape")
        assert _lineage(page, "l.chosen") is None


def test_resources_and_tables_of_dlt_are_folded_until_asked_for(shop: Eye) -> None:
    names = "l.scene.nodes.map(node => l.graph.names[node] + ' ' + l.graph.kinds[node])"
    with shop.page() as page:
        page.goto("lineage")
        ready(page)
        shown = _lineage(page, names)
        assert "orders model" in shown
        assert "raw_orders table" in shown
        assert [name for name in shown if "_dlt_" in name or name.endswith(" resource")] == []
        expect(page.locator("[data-part=count]")).to_contain_text(" folded")
        page.locator("[data-part=fold]").uncheck()
        everything = _lineage(page, names)
        assert any(name.startswith("_dlt_loads") for name in everything)
        resource = next(name for name in everything if name.endswith(" resource"))
        page.locator("[data-part=fold]").check()
        assert _lineage(page, names) == shown
        # a table shows its resource when that is asked for
        told = f"l.graph.names[node] + ' ' + l.graph.kinds[node] === '{resource}'"
        _lineage(page, f"l.goto([...l.graph.ids.keys()].find(node => {told}))")
        assert set(_lineage(page, names)) == {*shown, resource}


def test_a_thousand_nodes_are_drawn_found_panned_and_pressed(big: Eye) -> None:
    with big.page() as page:
        page.goto("lineage")
        ready(page)
        folded = int(_lineage(page, "l.graph.folded.size"))
        assert int(_lineage(page, "l.scene.nodes.length")) == 1000 - folded
        keep(page, "graph-1000")
        stage = page.locator("[data-part=canvas]")
        left = float(_lineage(page, "l.view.left"))
        box = stage.bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        page.mouse.move(x, y)
        page.mouse.down()
        page.mouse.move(x + 60, y, steps=3)
        page.mouse.up()
        assert abs(float(_lineage(page, "l.view.left")) - left - 60) < 1
        assert _lineage(page, "l.chosen") is None
        page.mouse.wheel(0, -400)
        page.locator("[data-part=search]").fill("int_orders daily_0")
        expect(page.locator("[data-part=found] li").first).to_have_text("int_orders_daily_0")
        page.locator("[data-part=search]").press("Enter")
        spot = _lineage(page, "l.view.box(l.scene.local.get(l.chosen))")
        _lineage(page, "l.choose(null)")
        page.mouse.click(box["x"] + spot["left"] + 30, box["y"] + spot["top"] + 12)
        assert _lineage(page, "l.graph.names[l.chosen]") == "int_orders_daily_0"
        keep(page, "graph-1000-chosen")
        page.get_by_role("button", name="amount").click()
        expect(page.locator("[data-part=say]")).to_contain_text("Column amount of int_orders")


_LAYOUT = """async ([count, edges, heights]) => {
    const { place } = await import("/static/js/graph/layout.js");
    const { x, y, layer, routes } = place(count, edges, heights);
    return { x: [...x], y: [...y], layer: [...layer], bends: routes.map(route => route.length) };
}"""


def test_the_layout_keeps_nodes_apart_and_edges_to_the_right(big: Eye) -> None:
    with big.page() as page:
        page.goto("runs")
        for kind in ("layers", "any", "circle", "loop", "none"):
            _check_layout(page, kind)


def _check_layout(page: Page, kind: str) -> None:
    draw = random.Random(5)
    count = {"layers": 400, "any": 120, "circle": 6, "loop": 1, "none": 0}[kind]
    edges = {
        "layers": [[draw.randrange(max(1, child - 90)), child] for child in range(20, count)],
        "any": [[draw.randrange(count), draw.randrange(count)] for _ in range(300 if count else 0)],
        "circle": [[node, (node + 1) % 6] for node in range(6)],
        "loop": [[0, 0]],
        "none": [],
    }[kind]
    edges = [[min(edge), max(edge)] if kind == "layers" else edge for edge in edges]
    heights = [draw.choice((30, 30, 90)) for _ in range(count)]
    found = page.evaluate(_LAYOUT, [count, edges, heights])
    places = sorted(zip(found["x"], found["y"], heights, strict=True))
    assert len(places) == count
    for (x, y, height), (next_x, next_y, next_height) in itertools.pairwise(places):
        assert x != next_x or next_y - y >= (height + next_height) / 2 - 0.01
    if kind == "layers":
        assert all(found["layer"][parent] < found["layer"][child] for parent, child in edges)
        assert all(found["x"][parent] < found["x"][child] for parent, child in edges)
        steps = [found["layer"][child] - found["layer"][parent] - 1 for parent, child in edges]
        assert [bends // 3 for bends in found["bends"]] == steps


def test_the_colours_that_were_chosen_stay(shop: Eye) -> None:
    with shop.page("light") as page:
        page.goto("")
        ground = "getComputedStyle(document.body).backgroundColor"
        light = page.evaluate(ground)
        page.get_by_role("button", name="Use dark colours").click()
        dark = page.evaluate(ground)
        assert dark != light
        page.goto("assets")
        assert page.evaluate(ground) == dark


def test_sample_rows_are_shown_when_asked_and_personal_data_is_not(shop: Eye) -> None:
    with shop.page() as page:
        page.goto(f"assets/{CUSTOMERS}")
        switch = page.get_by_role("switch", name="Show sample rows")
        expect(switch).not_to_be_checked()
        expect(page.locator("table.sample")).to_have_count(0)
        switch.check()
        expect(page.locator("table.sample tbody tr")).to_have_count(20)
        heads = page.locator("table.sample thead th").all_text_contents()
        row = page.locator("table.sample tbody tr").first.locator("td").all_text_contents()
        shown = dict(zip(heads, row, strict=True))
        assert shown["first_name"] == "***"
        assert shown["customer_id"] != "***"
        expect(page.get_by_role("switch", name="with personal data")).to_have_count(0)


def test_pages_say_the_same_without_scripts(shop: Eye) -> None:
    with shop.page(script=False) as page:
        page.goto(f"lineage?asset={CUSTOMERS}&column=customer_lifetime_value")
        expect(page.locator("[data-graph]")).to_be_hidden()
        expect(page.get_by_role("cell", name="raw_payments").first).to_be_visible()
        page.goto("assets")
        page.get_by_label("Search").fill("payments")
        page.get_by_role("button", name="Filter").click()
        names = page.locator("table.assets th a").all_text_contents()
        assert names
        assert "customers" not in names
        page.goto(f"assets/{CUSTOMERS}")
        page.get_by_role("switch", name="Show sample rows").check()
        page.get_by_role("button", name="Apply").click()
        expect(page.locator("table.sample tbody tr")).to_have_count(20)


def test_hostile_names_stay_names(evil: Eye) -> None:
    with evil.page() as page:
        page.goto("")
        expect(page.locator("h1")).to_have_text("<b>evil</b>")
        for name in EVIL:
            page.goto(f"assets/{quote(f'model.evil.{name}', safe='')}")
            assert page.evaluate("document.querySelector('h1').textContent") == name
            assert page.locator("img, iframe, main script").count() == 0
            assert page.locator("a[href^='javascript:']").count() == 0
            assert violations(page) == [], name
        page.goto("lineage")
        ready(page)
        page.locator("[data-part=search]").fill("script")
        expect(page.locator("[data-part=found] bdi").first).to_have_text(EVIL[0])
        page.locator("[data-part=search]").press("Enter")
        expect(page.locator(".panel-title")).to_have_text(EVIL[0])
        page.locator("[data-part=panel] [data-column='0']").click()
        page.goto(f"impact?asset={quote(f'model.evil.{EVIL[0]}', safe='')}")
        assert page.locator("img, iframe, main script").count() == 0


def test_paper_is_white_and_holds_what_one_wants_to_read(shop: Eye) -> None:
    with shop.page("dark") as page:
        page.emulate_media(media="print")
        page.goto(f"assets/{CUSTOMERS}")
        ground = "getComputedStyle(document.body).backgroundColor"
        assert page.evaluate(ground) == "rgb(255, 255, 255)"
        keep(page, "asset-print")
        for unwanted in (".top", ".head .actions", ".switches", ".jumps", ".copy"):
            assert page.locator(unwanted).count() > 0
            assert page.locator(f"{unwanted}:visible").count() == 0, unwanted
        page.emulate_media(media="screen")
        assert page.evaluate(ground) != "rgb(255, 255, 255)"


def test_code_is_copied_by_a_button(shop: Eye) -> None:
    with shop.page() as page:
        page.context.grant_permissions(["clipboard-read", "clipboard-write"])
        page.clock.install(time=datetime(2026, 1, 1, tzinfo=UTC))
        page.goto(f"assets/{CUSTOMERS}")
        page.clock.pause_at(datetime(2026, 1, 2, tzinfo=UTC))
        button = page.get_by_role("button", name="Copy: Compiled SQL")
        button.click()
        expect(button).to_have_text("Copied")
        page.clock.run_for(2_000)
        expect(button).to_have_text("Copy")
        copied = page.evaluate("navigator.clipboard.readText()")
        assert copied == page.locator("pre[aria-label='Compiled SQL']").text_content()


def test_a_run_in_progress_is_followed(browser: Browser, tmp_path: Path) -> None:
    url = stored(layered(20), tmp_path / "runs.sqlite")
    store = RunStore(url)
    store.begin_run("goes-on", command="run", target="duckdb", lock="x", code_version="0.1.0")
    with serving(_state("moving", url)) as base, Eye(browser, base).page() as page:
        page.goto("")
        page.get_by_role("link", name="A run is in progress").click()
        expect(page.locator(".head .status")).to_have_text("running")
        assert violations(page) == []
        store.add_step("goes-on", "load", "success", 4.0, datetime.now(UTC))
        expect(page.get_by_role("heading", name="Steps")).to_be_visible()
        store.end_run(
            "goes-on", status="success", seconds=4, error=None, rows_loaded=1, published_path=None
        )
        expect(page.locator(".head .status")).to_have_text("success")
        expect(page.locator("[data-live]")).to_have_count(0)
    store.close()


def test_a_run_of_hundreds_of_nodes_is_worked_with(browser: Browser, tmp_path: Path) -> None:
    state = _state("many", stored(layered(600), tmp_path / "runs.sqlite", runs=1, most=383))
    with serving(state) as base:
        with Eye(browser, base).page() as page:
            page.goto("runs/run-0")
            assert page.evaluate("document.querySelectorAll('*').length") < 1500
            assert violations(page) == []
            rows = page.locator("svg.timeline g.row")
            first = rows.count()
            assert 10 < first < 60
            page.locator("[data-timeline] select[name=what]").select_option("all")
            expect(rows).to_have_count(383 + 2)
            page.get_by_label("Filter by name").fill("not_null daily_1")
            expect(page.locator("[data-shown]")).not_to_have_text("385 shown")
            names = page.locator("svg.timeline g.row > title").all_text_contents()
            assert names
            assert all("not_null" in name and "daily_1" in name for name in names)
            width = float(page.evaluate("document.querySelector('svg.timeline').clientWidth"))
            page.get_by_role("button", name="Zoom in").click()
            wide = float(page.evaluate("document.querySelector('svg.timeline').clientWidth"))
            assert wide > width * 1.5
            assert overflow(page) <= 0
            page.get_by_role("button", name="Fit").click()
            assert page.evaluate("document.querySelector('svg.timeline').clientWidth") == width
            nodes = page.locator("#run-nodes tbody tr")
            expect(nodes).to_have_count(25)
            page.get_by_role("button", name="Show all 383").click()
            expect(nodes).to_have_count(383)
            page.get_by_label("Filter by name").fill("")
            expect(rows).to_have_count(383 + 2)
            rows.get_by_role("link").first.click()
            expect(page.locator("h1")).not_to_contain_text("Run of")
        with Eye(browser, base).page(script=False) as page:
            page.goto("runs/run-0")
            assert page.locator("tbody tr[data-kind]").count() == 383


def test_an_open_page_shows_each_build_and_leaves_a_reader_alone(
    browser: Browser, tmp_path: Path
) -> None:
    url = stored(layered(20), tmp_path / "runs.sqlite")
    store = RunStore(url)
    with serving(_state("beside", url)) as base, Eye(browser, base).page() as page:
        for number, path in enumerate(("runs", f"assets/{quote(NODE)}")):
            page.goto(path)
            if path != "runs":
                page.evaluate("getSelection().selectAllChildren(document.querySelector('h1'))")
            store.begin_run(
                f"new-{number}", command="watch", target="t", lock="x", code_version="1"
            )
            store.end_run(
                f"new-{number}", status="success", seconds=1, error=None, rows_loaded=0,
                published_path=None,
            )  # fmt: skip
            if path == "runs":
                expect(page.locator("tbody tr")).to_have_count(4)
                expect(page.locator(".news")).to_have_count(0)
        expect(page.get_by_role("status")).to_contain_text("There is newer data.")
        assert violations(page) == []
        page.evaluate("getSelection().removeAllRanges()")
        expect(page.locator(".news")).to_have_count(0)
    store.close()


def test_a_page_that_cannot_be_shown_yet_loads_by_itself(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    state = _state("large", stored(layered(30), tmp_path / "runs.sqlite"))
    make = state.make_snapshot
    monkeypatch.setattr("headrace.server.state.LARGE_CATALOG", 10)
    monkeypatch.setattr(state, "make_snapshot", lambda *given: go_on.wait(30) and make(*given))
    state.start()
    with serving(state) as base, Eye(browser, base, forgiven=("503",)).page() as page:
        page.goto("assets")
        expect(page.locator("h1")).to_have_text("Please wait")
        assert violations(page) == []
        go_on.set()
        expect(page.locator("h1")).to_have_text("Assets")


def test_what_is_not_there_is_said_in_a_page(shop: Eye) -> None:
    eye = Eye(shop.browser, shop.base, forgiven=("404", "422"))
    with eye.page() as page:
        for path in ("assets/no.such", "runs/none", "lineage?asset=x", "nothing", "changes?days=0"):
            answer = page.goto(path)
            assert answer is not None
            assert answer.status in {404, 422}, path
            expect(page.get_by_role("link", name="Home").first).to_be_visible()
            assert violations(page) == [], path


def test_a_token_is_asked_for_once(browser: Browser, tmp_path: Path) -> None:
    token = "long-enough-" * 2
    state = _state("guarded", stored(layered(30), tmp_path / "runs.sqlite"))
    with (
        serving(state, Access(token=token)) as base,
        Eye(browser, base, forgiven=("401",)).page("dark", PHONE) as page,
    ):
        page.goto("assets?kind=model")
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
        expect(page.get_by_label("Token")).to_be_focused()
        assert violations(page) == []
        page.keyboard.type("something else")
        page.keyboard.press("Enter")
        expect(page.get_by_role("alert")).to_have_text("That is not the token.")
        assert violations(page) == []
        keep(page, "login-phone")
        page.get_by_label("Token").fill(token)
        page.keyboard.press("Enter")
        page.wait_for_url("**/assets?kind=model")
        page.goto("lineage")
        ready(page)
        assert int(_lineage(page, "l.scene.nodes.length")) > 20


def test_two_fingers_zoom_the_graph(big: Eye) -> None:
    with big.page("light", PHONE) as page:
        page.goto("lineage")
        ready(page)
        box = page.locator("[data-part=canvas]").bounding_box()
        assert box is not None
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        before = float(_lineage(page, "l.view.scale"))
        fingers = page.context.new_cdp_session(page)
        for kind, gap in (("Start", 20), ("Move", 30), ("Move", 40), ("End", None)):
            points = [] if gap is None else [{"x": x - gap, "y": y}, {"x": x + gap, "y": y}]
            fingers.send(
                "Input.dispatchTouchEvent", {"type": f"touch{kind}", "touchPoints": points}
            )
        assert float(_lineage(page, "l.view.scale")) == pytest.approx(before * 2, rel=0.1)


@pytest.fixture(scope="module")
def site_files(
    tmp_path_factory: pytest.TempPathFactory, shop_lab: Lab, evil_state: ServerState
) -> Path:
    """Two static sites in a folder."""
    root = tmp_path_factory.mktemp("www")
    with closing(open_state(shop_lab.resolved)) as state:
        write_site(state, root / "docs" / "shop", samples=True)
    write_site(evil_state, root / "docs" / "evil")
    return root


@pytest.fixture(scope="module")
def sites(site_files: Path) -> Iterator[str]:
    """They stand below a path of a plain file server."""
    handler = partial(_Quiet, directory=str(site_files))
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield f"http://127.0.0.1:{server.server_address[1]}/docs"
    server.shutdown()
    server.server_close()
    thread.join()


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002
        """Nothing to say."""


@pytest.mark.parametrize("name", ["shop", "evil"])
def test_the_static_site_has_no_broken_link(sites: str, name: str) -> None:
    from html.parser import HTMLParser

    found: list[str] = []

    class Links(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            found.extend(value or "" for key, value in attrs if key in {"href", "src"})

    todo, seen = [f"{sites}/{name}/index.html"], set()
    pages = 0
    while todo:
        url = todo.pop().partition("#")[0].partition("?")[0]
        if url in seen or not url.startswith(sites):
            assert urlsplit(url).netloc != urlsplit(sites).netloc or url in seen, url
            continue
        seen.add(url)
        with urlopen(url) as answer:  # noqa: S310 - our own server; a broken link raises
            content = answer.read()
        if url.endswith(".html"):
            pages += 1
            found.clear()
            Links().feed(content.decode())
            todo += [urljoin(url, link) for link in found]
    assert pages > 20


@pytest.mark.parametrize("way", ["server", "folder"])
def test_the_static_site_works_below_a_path_and_from_a_folder(
    browser: Browser, sites: str, site_files: Path, way: str
) -> None:
    folder = (site_files / "docs" / "shop").as_uri()
    with Eye(browser, f"{sites}/shop" if way == "server" else folder).page() as page:
        page.goto("index.html")
        expect(page.locator("h1")).to_be_visible()
        expect(page.locator("[data-quick]")).to_be_visible()
        page.keyboard.press("/")
        page.keyboard.type("customers")
        page.get_by_role("option").first.click()
        expect(page.locator("h1")).to_have_text("customers")
        assert "first_name" not in page.locator("table.sample thead th").all_text_contents()
        page.get_by_role("link", name="lineage of customer_lifetime_value").click()
        ready(page)
        assert _lineage(page, "l.graph.names[l.chosen]") == "customers"
        assert int(_lineage(page, "l.path.columns.size")) > 3
        page.locator("[data-part=stage]").focus()
        page.keyboard.press("Enter")
        expect(page.locator("h1")).to_have_text("customers")
        page.goto("assets.html?kind=model")
        models = page.locator("table.assets tr[data-kind=model]").count()
        assert 0 < models < page.locator("table.assets tbody tr").count()
        expect(page.locator("table.assets tbody tr:visible")).to_have_count(models)
        page.get_by_label("Search").fill("stg_jaffle_shop customers")
        expect(page.locator("table.assets tbody tr:visible")).to_have_count(1)
        page.get_by_label("Search").fill("customer_lifetime_value")
        expect(page.locator("tr:visible .matched").first).to_contain_text("customer_lifetime_value")
        page.get_by_label("Kind").select_option("")
        page.get_by_label("Search").fill("order")
        expect(page.locator("table.assets tbody tr:visible a.name").first).to_have_text("orders")
        if way == "server":  # the address of a page from a folder stays
            page.go_back()
            expect(page.get_by_label("Kind")).to_have_value("")
            page.go_back()
            expect(page.get_by_label("Kind")).to_have_value("model")
            page.go_forward()
        if way == "server":  # axe reads the style sheets, which a page from a folder may not
            assert violations(page) == []
        page.set_viewport_size({"width": PHONE[0], "height": PHONE[1]})
        assert overflow(page) <= 0
