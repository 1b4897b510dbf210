"""Raw column names: two names of the data never become one.

dlt's naming convention maps many names to one: ``Name`` and ``name``, ``Order ID`` and
``ORDER-ID``, all names in a script that it does not know (``x``). Here each name that the data
uses gets a raw name of its own, and keeps it.
"""

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from headrace.errors import SourceError

_RESERVED = ("_dlt_", "_file_name", "__file", "__row", "__cursor", "__place", "__class")


@dataclass(frozen=True)
class NamedColumns:
    """The names that the columns of some headers got.

    Attributes:
        raw: for each header, the raw names of its columns, in the header's order.
        given: every name so far to its raw name, to be kept in dlt's state and passed in with
            the next call. A name that a header repeats counts as a name for each place.
        notes: what a person should know of names given now, one sentence each.
    """

    raw: tuple[tuple[str, ...], ...]
    given: Mapping[str, str]
    notes: tuple[str, ...]


def name_columns(
    headers: Sequence[Sequence[str]],
    normalize: Callable[[str], str],
    given: Mapping[str, str],
    rename: Mapping[str, str] | None = None,
) -> NamedColumns:
    """Give each column of some headers a raw name of its own.

    A name takes what dlt's naming convention makes of it. Where two names of one header come to
    the same, the one that is written so already keeps it, else the first; the others get ``_2``,
    ``_3`` and so on. A column without a name is ``column_<position>``, and a reserved name loses
    its leading underscores. A name that has a raw name keeps it, whatever comes later. Names of
    different headers that differ only in case, spaces and punctuation (``Order ID``, ``order_id``)
    are one column, as long as no header has both.

    Args:
        headers: the names as the data has them, in order: one header for each file, or the keys
            of the rows of a page in the order of their first use. May repeat, may be empty.
        normalize: dlt's naming convention, ``"Order ID"`` to ``"order_id"``.
        given: names of earlier loads to their raw names: ``given`` of the last call.
        rename: from the settings, names of the data (or the raw names that they would get) to
            the raw names that they are to have.

    Raises:
        SourceError: `rename` gives two columns of one header the same name.
    """
    names = _Names(normalize, {name: normalize(new) for name, new in (rename or {}).items()})
    keys = [_keys(header) for header in headers]
    names.settle(keys, given)
    return NamedColumns(
        tuple(tuple(names.given[key] for key in header) for header in keys),
        names.given,
        tuple(names.notes),
    )


@dataclass
class _Names:
    """One call; raw names are compared without case, as DuckDB does."""

    normalize: Callable[[str], str]
    rename: Mapping[str, str]
    given: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    owners: dict[str, set[str]] = field(default_factory=dict)
    headers: set[frozenset[str]] = field(default_factory=set)
    places: dict[str, int] = field(default_factory=dict)

    def settle(self, headers: Sequence[Sequence[str]], before: Mapping[str, str]) -> None:
        self.headers = set(map(frozenset, headers))
        for header in headers:
            for place, key in enumerate(header, start=1):
                self.places.setdefault(key, place)
        for key in self.places:
            self._take_renamed(key, before)
        # dicts come back from dlt's state in any order
        for key, raw in sorted(before.items(), key=lambda item: (item[0] != item[1], item)):
            if key not in self.given and self._is_free(raw, key):
                self._take(key, raw)
        open_keys = [key for key in self.places if key not in self.given]
        for key in sorted(open_keys, key=lambda key: not self._is_written_so(key)):  # stable
            self._take_new(key, before)

    def _take_renamed(self, key: str, before: Mapping[str, str]) -> None:
        raw = self.rename.get(key) or self.rename.get(before.get(key, ""))
        if raw is None:
            return
        self._check_free(raw, key)
        if before.get(key, raw) != raw:
            self.notes.append(
                f"{_shown(key)} is now {raw}; rows loaded before have it in {before[key]} "
                "(--full-refresh reads all again)"
            )
        self._take(key, raw)

    def _take_new(self, key: str, before: Mapping[str, str]) -> None:
        plain = base = self._plain(key)
        name, repeat = _parts(key)
        shares = bool(name) and repeat == 1 and not plain.startswith(_RESERVED)
        if plain.startswith(_RESERVED):
            base = plain.lstrip("_")
        raw, number = base, 1
        while not self._may_take(raw, key, shares=shares and number == 1):
            number += 1
            raw = f"{base}_{number}"
        if raw in self.rename and raw not in self.places:
            raw = self.rename[raw]
            self._check_free(raw, key)
        elif key in before:
            self.notes.append(
                f"{_shown(key)} is now {raw}, because a file has it beside another column that "
                f"is {before[key]}; rows loaded before have it in {before[key]}"
            )
        else:
            self._note(key, plain, raw)
        self._take(key, raw)

    def _note(self, key: str, plain: str, raw: str) -> None:
        name, repeat = _parts(key)
        others = " and ".join(sorted(map(_shown, self.owners.get(plain.lower(), set()))))
        if not name:
            self.notes.append(f"column {self.places[key]} has no name: it is {raw}")
        elif plain.startswith(_RESERVED):
            self.notes.append(f"{_shown(key)} is {raw}, because {plain} is a reserved name")
        elif raw == plain and others:
            self.notes.append(f"{_shown(key)} is the same column as {others}: {raw}")
        elif raw != plain and repeat > 1:
            self.notes.append(f"{_shown(key)} is {raw}, because the header repeats the name")
        elif raw != plain:
            self.notes.append(
                f"{_shown(key)} is {raw}, because {others or 'another column'} is {plain}"
            )

    def _plain(self, key: str) -> str:
        name, _ = _parts(key)
        return self.normalize(name) if name else f"column_{self.places[key]}"

    def _is_written_so(self, key: str) -> bool:
        return key == self._plain(key) and not key.startswith(_RESERVED)

    def _is_free(self, raw: str, key: str) -> bool:
        """Whether no other column of a header that has this one has the raw name."""
        return not any(
            owner != key and any(owner in header and key in header for header in self.headers)
            for owner in self.owners.get(raw.lower(), ())
        )

    def _check_free(self, raw: str, key: str) -> None:
        if raw.startswith(_RESERVED):
            raise SourceError(
                f"rename gives {_shown(key)} the name {raw}, which is reserved: give it another"
            )
        if not self._is_free(raw, key):
            others = " and ".join(sorted(map(_shown, self.owners[raw.lower()])))
            raise SourceError(
                f"rename gives {_shown(key)} the name {raw}, which {others} has, too: "
                "give one of them another"
            )

    def _may_take(self, raw: str, key: str, *, shares: bool) -> bool:
        """Whether a new column may have the raw name: nobody has it, or a name that means it."""
        owners = self.owners.get(raw.lower(), set())
        alike = all(owner in self.rename or _letters(owner) == _letters(key) for owner in owners)
        return not owners or (shares and alike and self._is_free(raw, key))

    def _take(self, key: str, raw: str) -> None:
        self.given[key] = raw
        self.owners.setdefault(raw.lower(), set()).add(key)


def _keys(header: Sequence[str]) -> list[str]:
    """The names of a header, made distinct: the second ``a`` is ``a``, a tab and 2."""
    seen: dict[str, int] = {}
    keys = []
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        is_plain = name.strip() and "\t" not in name and seen[name] == 1
        keys.append(name if is_plain else f"{name}\t{seen[name]}")
    return keys


def _parts(key: str) -> tuple[str, int]:
    """A name, and the how manieth of its header it is; the name is empty if it is blank."""
    name, _, repeat = key.rpartition("\t") if "\t" in key else (key, "", "1")
    return name.strip() and name, int(repeat)


def _letters(key: str) -> str:
    """What is left of a name that is compared without case, spaces and punctuation."""
    name, _ = _parts(key)
    return "".join(filter(str.isalnum, unicodedata.normalize("NFKC", name).casefold()))


def _shown(key: str) -> str:
    name, repeat = _parts(key)
    if not name:
        return f"the unnamed column {repeat}"
    return repr(name) if repeat == 1 else f"{name!r} (number {repeat})"
