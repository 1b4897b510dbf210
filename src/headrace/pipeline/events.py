"""What happens while a run is going on, for whoever shows it."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Event:
    """Something that began or ended.

    Attributes:
        step: the step it belongs to.
        name: the step's own name, a raw table or a dbt node; of a phase, what is going on now.
        state: ``started``, how it ended, or ``phase``.
        detail: a few words for people.
        seconds: how long it took; None when it began.
        node: dbt's id of a model, snapshot or seed; None of all else.
    """

    step: Literal["load", "build", "audit", "publish"]
    name: str
    state: Literal["phase", "started", "done", "warn", "failed", "skipped"]
    detail: str = ""
    seconds: float | None = None
    node: str | None = None


Listener = Callable[[Event], None]


def nobody(event: Event) -> None:
    """A listener that does not listen."""
    del event
