"""HTML: the frame and links of every page, filters of templates, Markdown and SQL made safe."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import cache
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol
from urllib.parse import quote, urlencode

from headrace.artifacts.reading import utc
from headrace.formatting import shortened
from headrace.pipeline.reports import told_together
from headrace.secrets import MASK
from headrace.server import charts

if TYPE_CHECKING:
    from jinja2 import Environment
    from markdown_it import MarkdownIt
    from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexer import Lexer  # type: ignore[import-untyped]
    from starlette.requests import Request


TEMPLATES = Path(__file__).parent / "templates"
STATIC = Path(__file__).parent / "static"
PAGES = (
    ("home", "Home"),
    ("assets", "Assets"),
    ("lineage", "Lineage"),
    ("quality", "Quality"),
    ("runs", "Runs"),
    ("changes", "Changes"),
)
_GOOD = frozenset({"success", "pass", "reused", "published", "healthy"})
_BAD = frozenset({"failed", "fail", "error", "runtime error", "unreadable", "failing"})
_BRIEF = 160
_BEFORE_QUERY = "; the query that finds them"
# beginnings of the types that a table shows to the right
_NUMBERS = (
    "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT", "UTINYINT", "USMALLINT", "UINTEGER",
    "UBIGINT", "UHUGEINT", "FLOAT", "DOUBLE", "DECIMAL",
)  # fmt: skip
_UNSURE = frozenset(
    {"warn", "interrupted", "skipped", "lenient", "stale", "quarantined", "behind", "warning"}
)


_TIME = re.compile(r"(\d{4}-\d\d-\d\d) (\d\d:\d\d) UTC")
_NAMES = re.compile(r"(<bdi[^>]*>)([^<&]{17,})(</bdi>)")
_PIECES = re.compile(r"([^_./(,]{6,}?[_./(,]+)(?=[^_./(,)])")
_BREAK = r"\1<wbr>"
_MAX_SQL = 200_000  # characters; longer texts are shown as they are
_HEADING_BELOW = 2


_SLUG = re.compile(r"[^a-z0-9_-]+")
_SLUG_LENGTH = 60


class Links(Protocol):
    """Addresses, as seen from the page that holds them."""

    @property
    def is_static(self) -> bool:
        """Whether these are files."""

    @property
    def root(self) -> str:
        """The prefix of every address."""

    def page(self, name: str) -> str:
        """One of `PAGES`."""

    def asset(self, asset_id: str) -> str:
        """The page of an asset."""

    def run(self, run_id: str) -> str:
        """The page of a run."""

    def impact(self, asset_id: str, column: str | None = None) -> str:
        """What breaks if an asset, or a column of it, is removed."""

    def profile(
        self,
        asset_id: str,
        column: str | None = None,
        *,
        run: str | None = None,
        against: str | None = None,
    ) -> str:
        """What is in a table, or in a column of it, as a run kept it, beside another run."""

    def metrics(self, asset_id: str, metric: str | None = None) -> str:
        """The metrics of a table, or one of them, with their bands."""

    def lineage(self, asset_id: str, column: str | None = None) -> str:
        """The graph around an asset, or of the path of a column."""

    def assets(self, **query: str | int | None) -> str:
        """The list of assets, filtered."""

    def static(self, path: str) -> str:
        """A style sheet, script or picture."""


def file_name(key: str) -> str:
    """A file name for an id, safe on every system: readable words and a hash of the whole id.

    Examples:
        ``model.shop.orders`` gives ``model-shop-orders-49f5b1f0aa.html``.
    """
    words = _SLUG.sub("-", key.casefold()).strip("-")[:_SLUG_LENGTH].strip("-")
    digest = hashlib.sha256(key.encode("utf-8", "surrogatepass")).hexdigest()[:10]
    return f"{words}-{digest}.html" if words else f"{digest}.html"


def _query(**values: str | int | None) -> str:
    given = {key: value for key, value in values.items() if value not in {None, ""}}
    return f"?{urlencode(given)}" if given else ""


@dataclass(frozen=True)
class ServerLinks:
    """Addresses of a running server.

    Attributes:
        root: the prefix of every path, with a slash at its end: ``/``.
    """

    root: str = "/"
    is_static: bool = False

    def page(self, name: str) -> str:
        """See `Links`."""
        return self.root if name == "home" else f"{self.root}{name}"

    def asset(self, asset_id: str) -> str:
        """See `Links`."""
        return f"{self.root}assets/{quote(asset_id, safe='')}"

    def run(self, run_id: str) -> str:
        """See `Links`."""
        return f"{self.root}runs/{quote(run_id, safe='')}"

    def impact(self, asset_id: str, column: str | None = None) -> str:
        """See `Links`."""
        return f"{self.root}impact{_query(asset=asset_id, column=column)}"

    def profile(
        self,
        asset_id: str,
        column: str | None = None,
        *,
        run: str | None = None,
        against: str | None = None,
    ) -> str:
        """See `Links`."""
        query = _query(asset=asset_id, column=column, run=run, against=against)
        return f"{self.root}profile{query}{'#column' if column else ''}"

    def metrics(self, asset_id: str, metric: str | None = None) -> str:
        """See `Links`."""
        query = _query(asset=asset_id, metric=metric)
        return f"{self.root}metrics{query}{'#metric' if metric else ''}"

    def lineage(self, asset_id: str, column: str | None = None) -> str:
        """See `Links`."""
        return f"{self.root}lineage{_query(asset=asset_id, column=column)}"

    def assets(self, **query: str | int | None) -> str:
        """See `Links`."""
        return f"{self.root}assets{_query(**query)}"

    def static(self, path: str) -> str:
        """See `Links`."""
        return f"{self.root}static/{path}"


@dataclass(frozen=True)
class FileLinks:
    """Addresses of files, relative to the page that holds them.

    Attributes:
        root: the way from the page to the site's first folder: empty, or ``../``.
    """

    root: str = ""
    is_static: bool = True

    def page(self, name: str) -> str:
        """See `Links`."""
        return f"{self.root}{'index' if name == 'home' else name}.html"

    def asset(self, asset_id: str) -> str:
        """See `Links`."""
        return f"{self.root}assets/{file_name(asset_id)}"

    def run(self, run_id: str) -> str:
        """See `Links`."""
        return f"{self.root}runs/{file_name(run_id)}"

    def impact(self, asset_id: str, column: str | None = None) -> str:
        """See `Links`; there is a page for each asset, and of a column the graph shows it."""
        if column is not None:
            return self.lineage(asset_id, column)
        return f"{self.root}impact/{file_name(asset_id)}"

    def profile(
        self,
        asset_id: str,
        column: str | None = None,
        *,
        run: str | None = None,
        against: str | None = None,
    ) -> str:
        """See `Links`; there is a page for each table, of its newest profile."""
        del run, against
        part = f"#{file_name(column).removesuffix('.html')}" if column else ""
        return f"{self.root}profiles/{file_name(asset_id)}{part}"

    def metrics(self, asset_id: str, metric: str | None = None) -> str:
        """See `Links`; there is a page for each table."""
        part = f"#{file_name(metric).removesuffix('.html')}" if metric else ""
        return f"{self.root}metrics/{file_name(asset_id)}{part}"

    def lineage(self, asset_id: str, column: str | None = None) -> str:
        """See `Links`."""
        return f"{self.root}lineage.html{_query(asset=asset_id, column=column)}"

    def assets(self, **query: str | int | None) -> str:
        """See `Links`; the page's script reads the query."""
        return f"{self.root}assets.html{_query(**query)}"

    def static(self, path: str) -> str:
        """See `Links`."""
        return f"{self.root}static/{path}"


@dataclass(frozen=True)
class PageFrame:
    """What every page of a server, or of a static site, has in common.

    Attributes:
        links: addresses, as seen from the page.
        project: the project's name.
        made_at: when the static site was made, UTC; None of a running server.
        environment: whose data these are.
        state: identifies what the page is made from, so that it can ask for what is newer.
        with_rows: whether rows that tests found are shown.
    """

    links: Links
    project: str
    made_at: datetime | None = None
    environment: str | None = None
    state: str | None = None
    with_rows: bool = True

    def render(
        self, template: str, *, title: str, here: str | None = None, **context: object
    ) -> str:
        """A whole page.

        Args:
            template: its file's name.
            title: of the page, without the project's name.
            here: the page of `PAGES` that it belongs to.
            context: what the template shows.
        """
        return with_breaks(
            _environment()
            .get_template(template)
            .render(
                links=self.links,
                title=title,
                project=self.project,
                environment=self.environment,
                state=self.state,
                with_rows=self.with_rows,
                made_at=self.made_at,
                here=here,
                pages=PAGES,
                **context,
            )
        )


def with_breaks(html: str) -> str:
    """Let long names (in ``bdi``) break after an underscore or a dot, and not within words."""
    return _NAMES.sub(lambda name: f"{name[1]}{_PIECES.sub(_BREAK, name[2])}{name[3]}", html)


def frame_of(request: "Request") -> PageFrame:
    """The frame of a page of a running server, below whatever path it is mounted."""
    root = str(request.scope.get("root_path", "")).rstrip("/")
    state = request.app.state.server
    return PageFrame(
        links=ServerLinks(root=f"{root}/"),
        project=state.project,
        environment=state.environment,
        state=state.token(),
    )


def status_class(status: str | None) -> str:
    """``good``, ``bad``, ``unsure``, ``busy`` or ``none``: how a status is coloured."""
    if status == "running":
        return "busy"
    if status in _GOOD:
        return "good"
    if status in _BAD:
        return "bad"
    return "unsure" if status in _UNSURE else "none"


@cache
def _environment() -> "Environment":
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=FileSystemLoader(TEMPLATES),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # these write HTML of their own, out of text that they escape
    environment.filters["markdown"] = lambda text: Markup(markdown(text))  # noqa: S704
    environment.filters["diff"] = lambda text: Markup(_diff(text))  # noqa: S704
    environment.filters["sql"] = lambda text: Markup(sql(text))  # noqa: S704
    environment.filters["sql_template"] = lambda text: Markup(  # noqa: S704
        sql(text, is_template=True)
    )
    environment.filters["code_spans"] = lambda text: Markup(code_spans(text))  # noqa: S704
    environment.filters["brief"] = _brief
    environment.filters["duration"] = charts.duration_text
    environment.filters["shown_columns"] = lambda rows: [
        name for name in (rows[0] if rows else ()) if any(row[name] != MASK for row in rows)
    ]
    environment.filters["seconds_since"] = lambda at: (datetime.now(UTC) - utc(at)).total_seconds()
    environment.filters["count"] = lambda number: "\N{EN DASH}" if number is None else f"{number:,}"
    environment.filters["day"] = lambda at: f"{utc(at):%Y-%m-%d}"
    environment.filters["day_of_month"] = lambda at: f"{utc(at):%d}"
    environment.filters["minute"] = lambda at: f"{utc(at):%Y-%m-%d %H:%M}"
    environment.filters["second"] = lambda at: f"{utc(at):%H:%M:%S}"
    environment.filters["iso"] = lambda at: utc(at).isoformat(timespec="seconds")
    environment.filters["status_class"] = status_class
    environment.filters["words"] = lambda text: str(text).replace("_", " ")
    environment.filters["is_number"] = lambda kind: str(kind).startswith(_NUMBERS)
    environment.filters["mini"] = charts.small_histogram
    environment.filters["spark"] = charts.spark_line
    environment.filters["percent"] = _percent
    environment.filters["told_together"] = told_together
    environment.filters["figure"] = _figure
    environment.filters["in_unit"] = _in_unit
    environment.filters["anchor"] = lambda name: file_name(name).removesuffix(".html")
    environment.filters["columns_of_rows"] = _columns_of_rows
    environment.filters["by_day"] = _by_day
    environment.filters["is_web"] = lambda url: str(url).startswith(("http://", "https://"))
    return environment


def _percent(share: float | None) -> str:
    """``0%``, ``<0.1%``, ``12.3%``; never 0 of what is there, nor 100 of what is not all."""
    if share is None:
        return "\N{EN DASH}"
    if 0 < share < 0.001:
        return "<0.1%"
    return f"{min(share, 0.999) if share < 1 else 1:.1%}".replace(".0%", "%")


def _figure(number: float | None) -> str:
    """A number for people: whole ones as such, others with six digits."""
    if number is None:
        return "\N{EN DASH}"
    return f"{number:,.0f}" if float(number).is_integer() else f"{number:,.6g}"


def _in_unit(value: float | None, unit: str) -> str:
    """A value of a metric: a share as a percentage, seconds as a duration, else a number."""
    if value is None:
        return "\N{EN DASH}"
    if unit == "share":
        return f"{value:.2%}"
    if unit == "seconds" and value >= 0:
        return charts.duration_text(value)
    return _figure(round(value, 6))


def _columns_of_rows(rows: Sequence[Mapping[str, Any]], is_static: bool) -> list[str]:
    """The columns of rows; a file that is published has none of personal data, even masked."""
    found = dict.fromkeys(name for row in rows for name in row)
    if is_static:
        return [name for name in found if all(row.get(name) != MASK for row in rows)]
    return list(found)


def _diff(text: str) -> str:
    """HTML of a unified diff: lines that were added and removed are marked as such."""
    tags = {"+": "ins", "-": "del"}
    lines = []
    for line in text.splitlines():
        tag = tags.get(line[:1])
        lines.append(f"<{tag}>{escape(line)}</{tag}>" if tag else escape(line))
    return "\n".join(lines)


def _brief(message: str) -> str:
    """What a message says first: a line, without the path of a query that the page shows."""
    first = message.strip().partition("\n")[0].partition(_BEFORE_QUERY)[0].strip()
    return shortened(first, _BRIEF)


def _by_day(changes: Sequence[Any]) -> list[tuple[tuple[datetime, int], list[Any]]]:
    """Changes by day and version, in the order they come."""
    found: dict[tuple[datetime, int], list[Any]] = {}
    for change in changes:
        minute = utc(change.at).replace(second=0, microsecond=0)
        found.setdefault((minute, change.version), []).append(change)
    return list(found.items())


def markdown(text: str) -> str:
    """HTML of Markdown.

    HTML in it is shown as text; images, which would be fetched from elsewhere, are left out;
    links may be http, https, mailto or relative.
    """
    return str(_markdown().render(text))


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = _may_link  # type: ignore[method-assign]
    parser.core.ruler.push("restrict", _restrict)
    return parser


def _may_link(url: str) -> bool:
    start = url.strip().casefold()
    head = start.split("/", 1)[0]
    return ":" not in head or start.startswith(("http://", "https://", "mailto:"))


def _restrict(state: object) -> None:
    """Put headings below those of the page, and let links send no referrer."""
    for token in state.tokens:  # type: ignore[attr-defined]
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + _HEADING_BELOW)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer nofollow")


def code_spans(text: str) -> str:
    """HTML of one of our own sentences, with code in backticks, and times that can be switched."""
    parts = escape(text).split("`")
    return "".join(
        f"<code>{part}</code>" if n % 2 else _TIME.sub(_time_element, part)
        for n, part in enumerate(parts)
    )


def _time_element(found: re.Match[str]) -> str:
    return f'<time datetime="{found[1]}T{found[2]}Z" data-at>{found[0]}</time>'


def sql(text: str, *, is_template: bool = False) -> str:
    """HTML of SQL, or of SQL with Jinja, with a class for each kind of word."""
    if len(text) > _MAX_SQL:
        return escape(text)
    from pygments import highlight  # type: ignore[import-untyped]

    lexer = _lexer("sql+jinja" if is_template else "sql")
    return str(highlight(text, lexer, _formatter()))


@cache
def _lexer(name: str) -> "Lexer":
    from pygments.lexers import get_lexer_by_name  # type: ignore[import-untyped]

    return get_lexer_by_name(name)


@cache
def _formatter() -> "HtmlFormatter":
    from pygments.formatters.html import HtmlFormatter

    return HtmlFormatter(nowrap=True, classprefix="s-")
