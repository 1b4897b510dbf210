"""The Chromium that tests look at pages with."""

import os
import shutil
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Playwright

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGS = (
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",  # in a container it may hold 64 MB alone
)


def launch(playwright: Playwright) -> Browser:
    """Start it; the test is skipped where there is none, but never on the CI.

    ``CHROMIUM`` names another one; with ``none`` it is as if there were none.
    """
    found = os.environ.get("CHROMIUM") or next(filter(None, map(shutil.which, NAMES)), None)
    own = Path(playwright.chromium.executable_path)
    if found is None and own.exists():
        found = str(own)
    if found is None:
        assert not os.environ.get("CI"), "no Chromium on the CI: install one before the tests"
    if found in {None, "none"}:
        pytest.skip("Chromium is not installed: install it, or set CHROMIUM")
    return playwright.chromium.launch(executable_path=found, args=list(ARGS), timeout=120_000)
