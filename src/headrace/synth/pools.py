"""Frozen pools of strings, so that a new Faker changes no data.

The pools of common providers come with the package (``pool_files/<locale>/<provider>.tsv``: a
count, a tab, a value). Any other provider and locale is drawn from Faker once and frozen into
``pools/<locale>/<provider>.tsv`` beside the schema file, to be committed with it.
"""

import random
import re
import unicodedata
from collections import Counter
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from itertools import accumulate
from pathlib import Path
from typing import Final

from headrace import portable
from headrace.synth.errors import SynthError

DRAWS: Final = 20_000
MOST_VALUES: Final = 1_500
SHIPPED: Final = (
    "bs", "catch_phrase", "city", "color_name", "company", "country", "country_code",
    "currency_code", "domain_word", "first_name", "first_name_female", "first_name_male", "job",
    "language_name", "last_name", "name", "postcode", "sentence", "state", "state_abbr",
    "street_address", "street_name", "user_agent", "word",
)  # fmt: skip
"""Providers whose en_US pools come with the package."""


@dataclass(frozen=True, slots=True)
class StringPool:
    """Distinct strings and how often each was drawn."""

    values: tuple[str, ...]
    counts: tuple[int, ...]

    @property
    def thresholds(self) -> list[float]:
        """Cumulative shares, the last one 1."""
        total = sum(self.counts)
        return [count / total for count in accumulate(self.counts)]


class PoolError(SynthError):
    """There is no such provider or locale."""


def stamp(provider: str, locale: str, beside: Path | None) -> int:
    """When the pool beside the schema file was last written, 0 without any: for caches."""
    try:
        return (beside / "pools" / locale / f"{provider}.tsv").stat().st_mtime_ns if beside else 0
    except OSError:
        return 0


def load(provider: str, locale: str, beside: Path | None = None) -> StringPool:
    """A pool: frozen beside the schema file, else the package's, else drawn from Faker.

    Args:
        provider: a Faker provider that takes no arguments, such as ``first_name``.
        locale: such as ``en_US``.
        beside: the directory of the schema file.

    Raises:
        PoolError: no such provider or locale, or it does not give text.
    """
    own = beside / "pools" / locale / f"{provider}.tsv" if beside else None
    if own is not None and own.is_file():
        return _parse(own.read_text(encoding="utf-8"), str(own))
    shipped = _shipped(provider, locale)
    return shipped if shipped is not None else _drawn(provider, locale)


def is_frozen(provider: str, locale: str, beside: Path | None) -> bool:
    """Whether the pool stands in a file, so that no Faker can change it."""
    if beside is not None and (beside / "pools" / locale / f"{provider}.tsv").is_file():
        return True
    return _shipped(provider, locale) is not None


def freeze(provider: str, locale: str, directory: Path) -> Path:
    """Draw a pool from Faker and write ``<locale>/<provider>.tsv`` into a directory.

    Raises:
        PoolError: no such provider or locale.
        OSError: it cannot be written.
    """
    pool = _drawn(provider, locale)
    path = directory / locale / f"{provider}.tsv"
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = [
        f"{count}\t{_escaped(value)}\n"
        for value, count in zip(pool.values, pool.counts, strict=True)
    ]
    portable.write_file(path, "".join(lines))
    return path


@cache
def _shipped(provider: str, locale: str) -> StringPool | None:
    place = files("headrace.synth") / "pool_files" / locale / f"{provider}.tsv"
    if not place.is_file():
        return None
    return _parse(place.read_text(encoding="utf-8"), f"the package's pool {provider}")


def _parse(text: str, name: str) -> StringPool:
    values, counts = [], []
    for number, line in enumerate(text.splitlines(), start=1):
        count, tab, value = line.partition("\t")
        if not tab or not count.isdecimal() or int(count) == 0:
            raise PoolError(f"{name}, line {number}: not a count, a tab and a value")
        values.append(value.replace("\\n", "\n").replace("\\\\", "\\"))
        counts.append(int(count))
    if not values or len(set(values)) != len(values):
        raise PoolError(f"{name} is empty, or holds a value twice")
    return StringPool(tuple(values), tuple(counts))


def _escaped(value: str) -> str:
    return value.replace("\\", "\\\\").replace("\r", "").replace("\n", "\\n").replace("\t", " ")


@cache
def _drawn(provider: str, locale: str) -> StringPool:
    from faker import Faker

    try:
        faker = Faker(locale)
    except AttributeError as error:
        raise PoolError(f"unknown locale {locale!r}; Faker's are written like de_DE") from error
    faker.seed_instance(f"headrace {provider} {locale}")
    random.seed(0)
    try:
        draw = faker.format
        first = draw(provider)
    except AttributeError as error:
        raise PoolError(
            f"unknown generator 'faker.{provider}'; any provider of Faker that takes no arguments "
            f"will do, such as {', '.join(f'faker.{name}' for name in SHIPPED[9:14])}"
        ) from error
    except (TypeError, ValueError) as error:
        raise PoolError(f"faker.{provider} cannot be used without arguments: {error}") from error
    if not isinstance(first, str):
        raise PoolError(
            f"faker.{provider} gives {type(first).__name__}, not text; "
            "use type numerical, boolean, datetime or uuid"
        )
    found: Counter[str] = Counter()
    for number in range(DRAWS):
        found[draw(provider)] += 1
        # what hardly repeats has no weights to learn
        if number >= 3_000 and len(found) > 0.8 * number:
            break
    common = found.most_common(MOST_VALUES)
    rest = len(found) <= MOST_VALUES
    pairs = sorted(
        common if rest else ((value, 1 if count < 3 else count) for value, count in common)
    )
    return StringPool(tuple(value for value, _ in pairs), tuple(count for _, count in pairs))


def slugs(pool: StringPool) -> tuple[str, ...]:
    """The pool's values as distinct parts of an e-mail address: a to z and digits."""
    found: dict[str, None] = {}
    for value in pool.values:
        plain = unicodedata.normalize("NFKD", value).encode("ascii", "ignore").decode()
        slug = re.sub(r"[^a-z]", "", plain.lower())
        if slug:
            found[slug] = None
    return tuple(found)
