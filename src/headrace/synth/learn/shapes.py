"""Shapes of codes: ``N14228`` is N and digits, ``9E`` a digit and a capital; names have none."""

import re
from collections import Counter
from collections.abc import Sequence
from typing import Final

from headrace.synth.patterns import MARKS, capacity

FEWEST_VALUES: Final = 10
"""A character stands in a pattern as it is where so many different texts have it there."""
_FIXED: Final = 0.95
_MOST_SHAPES: Final = 100
_LONGEST: Final = 64
_COVERED: Final = 0.9
"""So many of the values have one of the shapes that are kept."""


def patterns_of(texts: Sequence[str], counts: Sequence[int] | None = None) -> dict[str, int] | None:
    """The patterns of codes, by how many values have each; None if they are not codes.

    No two of them can give the same text, and none says what fewer than ``FEWEST_VALUES`` texts
    share but their length and kinds of characters.

    Args:
        texts: the different values.
        counts: how often each occurs; once without it.
    """
    if not texts or not _are_codes(texts):
        return None
    weights = counts if counts is not None else [1] * len(texts)
    groups: dict[str, list[str]] = {}
    sums: Counter[str] = Counter()
    for text, weight in zip(texts, weights, strict=True):
        shape = shape_of(text)
        groups.setdefault(shape, []).append(text)
        sums[shape] += weight
    least = 3 if len(texts) >= 3 * FEWEST_VALUES else 1
    kept = [shape for shape, _ in sums.most_common() if len(groups[shape]) >= least]
    covered = sum(len(groups[shape]) for shape in kept)
    if len(kept) <= _MOST_SHAPES and covered >= _COVERED * len(texts):
        return {_pattern(shape, groups[shape]): sums[shape] for shape in kept}
    return _mixed(texts, sum(weights))


def with_room(patterns: dict[str, int], rows: int) -> dict[str, int]:
    """The patterns, and a last one for more rows than the others can give.

    It has no weight: as long as there are enough, the shapes are those of the sample.
    """
    largest = max(patterns, key=lambda pattern: (capacity(pattern, MARKS), pattern))
    place = max((n for n, mark in enumerate(largest) if mark in MARKS), default=len(largest) - 1)
    longest = max(map(len, patterns))
    wider = largest
    while capacity(wider, MARKS) < rows or (wider != largest and len(wider) <= longest):
        mark = wider[place] if wider[place] in MARKS else "#"
        wider = wider[: place + 1] + mark + wider[place + 1 :]
    rest = {pattern: weight for pattern, weight in patterns.items() if pattern != wider}
    return {**rest, wider: patterns.get(wider, 0)}


def as_regex(pattern: str) -> str:
    """A pattern as a regular expression."""
    return "".join(
        f"[{re.escape(MARKS[mark])}]" if mark in MARKS else re.escape(mark) for mark in pattern
    )


def _are_codes(texts: Sequence[str]) -> bool:
    """Whether these are made of digits and letters of one case, and look like no words."""
    if max(map(len, texts)) > _LONGEST or any(mark in text for text in texts for mark in "#?&*%~"):
        return False
    if not all(re.fullmatch(r"[\x21-\x7e]+( [\x21-\x7e]+){0,3}", text) for text in texts):
        return False
    has_digit = sum(any(mark.isdigit() for mark in text) for text in texts)
    if all(text == text.upper() or text == text.lower() for text in texts):
        if has_digit >= len(texts) / 2:
            return all(re.search(r"[A-Za-z]{12}", text) is None for text in texts)
        lengths = {len(text) for text in texts}
        return all(text == text.upper() and " " not in text for text in texts) and (
            max(lengths) <= 4 or (len(lengths) == 1 and max(lengths) <= 12)
        )
    return False


def shape_of(text: str) -> str:
    """The kind of each character: # for digits, ? for capitals, & for small letters."""
    return "".join(
        "#"
        if mark.isdigit()
        else "?"
        if "A" <= mark <= "Z"
        else "&"
        if "a" <= mark <= "z"
        else mark
        for mark in text
    )


def _pattern(shape: str, texts: Sequence[str]) -> str:
    """The shape, with the letters that nearly all texts have in one place."""
    if len(texts) < FEWEST_VALUES:
        return shape
    result = ""
    for mark, letters in zip(shape, zip(*texts, strict=True), strict=True):
        letter, often = Counter(letters).most_common(1)[0]
        result += letter if often >= _FIXED * len(letters) and mark != "#" else mark
    return result if any(mark in MARKS for mark in result) else shape


def _mixed(texts: Sequence[str], total: int) -> dict[str, int] | None:
    """One pattern of letters and digits in any place, where all texts are of one length."""
    if len({len(text) for text in texts}) != 1:
        return None
    result = ""
    for letters in zip(*texts, strict=True):
        different = set(letters)
        if len(different) == 1 and len(texts) >= FEWEST_VALUES and not letters[0].isdigit():
            result += letters[0]
            continue
        mark = next((mark for mark in "#?&~*%" if different <= set(MARKS[mark])), None)
        if mark is None:
            return None
        result += mark
    return {result: total} if any(mark in MARKS for mark in result) else None
