"""What pages and docstrings quote of the code: numbers, and the tree of errors."""

import re
from pathlib import Path

import pytest

from headrace import errors
from headrace.ingest import stage
from headrace.server import security
from headrace.settings import ServeSettings

ROOT = Path(__file__).parents[2]
KIB, MIB = 1024, 1024 * 1024
HEAD, URL = security.MAX_HEAD // KIB, security.MAX_URL // KIB
PORT = ServeSettings.model_fields["port"].default


@pytest.mark.parametrize(
    ("page", "words"),
    [
        ("ARCHITECTURE.md", f"first load ({stage.BULK_BYTES // MIB} MiB or more)"),
        ("docs/how-to/serve-the-page.md", f"http://127.0.0.1:{PORT}/"),
        ("docs/how-to/serve-the-page.md", f"headers | {HEAD} KiB; an address {URL} KiB"),
        ("docs/how-to/serve-the-page.md", f"body | {security.MAX_BODY // KIB} KiB"),
        ("src/headrace/cli/serve.py", f"else serve.port, {PORT}."),
        (".devcontainer/devcontainer.json", f'"forwardPorts": [{PORT}]'),
    ],
)
def test_a_page_quotes_the_number_that_holds(page: str, words: str) -> None:
    assert words in (ROOT / page).read_text("utf-8")


def test_the_tree_of_errors_is_whole() -> None:
    drawn = re.findall(r"(?:├──|└──|^ {4})\s*(\w+Error)\b", errors.__doc__ or "", re.MULTILINE)
    assert sorted(drawn) == sorted(errors.__all__)
