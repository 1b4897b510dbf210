"""The settings: their models, the layers that they are merged from, and what they resolve to."""

from headrace.settings.models import (
    ContractMode,
    ProfileSettings,
    ServeSettings,
    Settings,
    SourceSettings,
)
from headrace.settings.resolved import DEFAULT_ENV, Resolved, find_root, resolve

__all__ = [
    "DEFAULT_ENV",
    "ContractMode",
    "ProfileSettings",
    "Resolved",
    "ServeSettings",
    "Settings",
    "SourceSettings",
    "find_root",
    "resolve",
]
