"""What of the dbt project is built: everything, or what somebody selects in dbt's own words."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from headrace.errors import SettingsError

_MODIFIED = "state:modified"


@dataclass(frozen=True)
class Selection:
    """A part of the project, or all of it.

    Attributes:
        select: dbt's selectors; one of them must match. Empty for everything.
        exclude: dbt's selectors; none of them may match.
        state: the state folder to compare with, and to read from what is not built here.
        defer: whether to read from the state; without it, it is compared with and no more.
    """

    select: tuple[str, ...] = ()
    exclude: tuple[str, ...] = ()
    state: Path | None = None
    defer: bool = False

    @property
    def is_whole(self) -> bool:
        """Whether everything is built, here, of what is here."""
        return not self.select and not self.exclude and self.state is None

    @property
    def wants_modified(self) -> bool:
        """Whether what changed since the state is asked for."""
        return any(_MODIFIED in selector for selector in self.select)

    def words(self, *more: str) -> list[str]:
        """dbt's arguments for it; ``more`` are further selectors of which one may match."""
        words = [word for one in (*self.select, *more) for word in ("--select", one)]
        return [*words, *(word for one in self.exclude for word in ("--exclude", one))]


EVERYTHING = Selection()


def chosen(
    select: Sequence[str], exclude: Sequence[str], state: Path | None, *, defer: bool | None
) -> Selection:
    """The selection that flags ask for; with a state and nothing selected, what changed since it.

    Args:
        select: of ``--select``.
        exclude: of ``--exclude``.
        state: of ``--state``.
        defer: of ``--defer`` or ``--no-defer``; by default it is deferred where there is a state.

    Raises:
        SettingsError: the flags do not go together.
    """
    for option, selectors in (("--select", select), ("--exclude", exclude)):
        if any(not selector.strip() for selector in selectors):
            raise SettingsError(f"{option} is empty: name a model, like `{option} customers+`")
    if state is None:
        odd = [one for one in (*select, *exclude) if "state:" in one]
        if odd:
            raise SettingsError(
                f"{odd[0]!r} compares with a state: name its folder, --state DIR "
                "(`headrace state --out DIR` writes one after a published run)"
            )
        if defer:
            raise SettingsError(
                "--defer reads from a state: name its folder, --state DIR "
                "(`headrace state --out DIR` writes one after a published run)"
            )
    elif not select:
        select = (f"{_MODIFIED}+",)
    return Selection(
        tuple(select), tuple(exclude), state, defer=state is not None and defer is not False
    )
