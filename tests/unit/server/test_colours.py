"""The colours of the page: text can be read, and edges, borders and marks can be told apart."""

import re

import pytest

from headrace.server.rendering import STATIC

CSS = (STATIC / "css" / "base.css").read_text(encoding="utf-8")
LIGHT, SYSTEM_DARK, DARK = (
    dict(re.findall(r"--([\w-]+): (#[0-9a-f]{6});", part))
    for part in CSS.split("@media screen")[:3]
)


def contrast(one: str, other: str) -> float:
    """Of WCAG 2.2: from 1 to 21."""
    bright, dim = sorted((_luminance(one), _luminance(other)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


def _luminance(colour: str) -> float:
    parts = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_borders_edges_and_marks_have_a_contrast_of_three(colours: dict[str, str]) -> None:
    assert contrast(colours["line-strong"], colours["surface"]) >= 3
    assert contrast(colours["edge"], colours["graph-ground"]) >= 3
    for mark in ("mark-good", "mark-bad", "mark-warn", "mark-none"):
        assert contrast(colours[mark], colours["surface"]) >= 3, mark


@pytest.mark.parametrize("colours", [LIGHT, DARK], ids=["light", "dark"])
def test_good_and_bad_marks_differ_in_brightness_too(colours: dict[str, str]) -> None:
    assert contrast(colours["mark-good"], colours["mark-bad"]) > 2


def test_the_system_and_the_button_give_the_same_dark_colours() -> None:
    assert SYSTEM_DARK == DARK
