"""Whether an API says where its next page is: dlt takes one that does not for a single page."""

from collections.abc import Mapping
from typing import Any

FEWEST_ROWS = 10
"""A page of fewer rows is hardly cut off."""
_TIMEOUT_SECONDS = 10


def reads_one_page(options: Mapping[str, Any], path: str) -> bool:
    """Whether dlt finds no way from a path's first answer to a second; False where none comes.

    Args:
        options: of the source: ``base_url`` and, if there is one, ``token``.
        path: of the resource.
    """
    from dlt.sources.helpers.requests import Client, RequestException
    from dlt.sources.helpers.rest_client.detector import PaginatorFactory
    from dlt.sources.helpers.rest_client.paginators import SinglePagePaginator

    token = options.get("token")
    session = Client(request_max_attempts=2, request_timeout=_TIMEOUT_SECONDS).session
    try:
        answer = session.get(
            f"{str(options['base_url']).rstrip('/')}/{path}",
            headers={"Authorization": f"Bearer {token}"} if token else {},
        )
        paginator, _ = PaginatorFactory().create_paginator(answer)
    except (RequestException, ValueError):
        return False
    finally:
        session.close()
    return isinstance(paginator, SinglePagePaginator)
