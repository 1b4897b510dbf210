"""Models and their yml: of a source, from dlt's schema; of a model, from the table built of it."""

from headrace.scaffold.built_model import ModelReport, scaffold_model
from headrace.scaffold.draft import ByHand, FileReport, LeftOut, ScaffoldReport, Vanished
from headrace.scaffold.service import scaffold

__all__ = [
    "ByHand",
    "FileReport",
    "LeftOut",
    "ModelReport",
    "ScaffoldReport",
    "Vanished",
    "scaffold",
    "scaffold_model",
]
