"""The settings: their models, the layers that they are merged from, and what they resolve to."""

from headrace.settings.models import ContractMode, ServeSettings, Settings, SourceSettings
from headrace.settings.resolved import Resolved, find_root, resolve

__all__ = [
    "ContractMode",
    "Resolved",
    "ServeSettings",
    "Settings",
    "SourceSettings",
    "find_root",
    "resolve",
]
