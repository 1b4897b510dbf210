"""What others wrote, made safe: Markdown and SQL to HTML."""

from functools import cache
from html import escape
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from markdown_it import MarkdownIt
    from pygments.formatters.html import HtmlFormatter  # type: ignore[import-untyped]
    from pygments.lexer import Lexer  # type: ignore[import-untyped]

_MOST_SQL = 200_000  # characters; longer texts are shown as they are
_HEADING_BELOW = 2


def markdown(text: str) -> str:
    """HTML of Markdown.

    HTML in it is shown, not used; pictures are left out, for they would be fetched from elsewhere;
    links may be http, https, mailto or relative.
    """
    return str(_markdown().render(text))


@cache
def _markdown() -> "MarkdownIt":
    from markdown_it import MarkdownIt

    parser = MarkdownIt("commonmark", {"html": False}).enable("table").disable("image")
    parser.validateLink = _may_link  # type: ignore[method-assign]
    parser.core.ruler.push("tame", _tame)
    return parser


def _may_link(url: str) -> bool:
    start = url.strip().casefold()
    head = start.split("/", 1)[0]
    return ":" not in head or start.startswith(("http://", "https://", "mailto:"))


def _tame(state: object) -> None:
    """Headings go below those of the page, and links tell nobody where they are from."""
    for token in state.tokens:  # type: ignore[attr-defined]
        if token.type in {"heading_open", "heading_close"}:
            token.tag = f"h{min(6, int(token.tag[1]) + _HEADING_BELOW)}"
        for child in token.children or ():
            if child.type == "link_open":
                child.attrSet("rel", "noopener noreferrer nofollow")


def ticks(text: str) -> str:
    """HTML of a sentence of ours: what stands in backticks is code."""
    parts = escape(text).split("`")
    return "".join(f"<code>{part}</code>" if n % 2 else part for n, part in enumerate(parts))


def sql(text: str, *, is_template: bool = False) -> str:
    """HTML of SQL, or of SQL with Jinja, with a class for each kind of word."""
    if len(text) > _MOST_SQL:
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
