"""The console that reports are printed on."""

from rich.console import Console

_WIDTH = 100


def console() -> Console:
    """As wide as the terminal; 100 columns where there is none, so that files look alike."""
    found = Console(highlight=False, soft_wrap=False)
    if not found.is_terminal:
        found.width = _WIDTH
    return found
