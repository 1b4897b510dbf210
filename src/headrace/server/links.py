"""Addresses of pages: routes of a server, or relative paths of a static site."""

import hashlib
import re
from dataclasses import dataclass
from typing import Protocol
from urllib.parse import quote, urlencode

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
        """``home``, ``assets``, ``lineage``, ``runs`` or ``changes``."""

    def asset(self, asset_id: str) -> str:
        """The page of an asset."""

    def run(self, run_id: str) -> str:
        """The page of a run."""

    def impact(self, asset_id: str, column: str | None = None) -> str:
        """What breaks if an asset, or a column of it, is removed."""

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

    def lineage(self, asset_id: str, column: str | None = None) -> str:
        """See `Links`."""
        return f"{self.root}lineage.html{_query(asset=asset_id, column=column)}"

    def assets(self, **query: str | int | None) -> str:
        """See `Links`; the page's script reads the query."""
        return f"{self.root}assets.html{_query(**query)}"

    def static(self, path: str) -> str:
        """See `Links`."""
        return f"{self.root}static/{path}"
