"""Learn from a sample: a model for SDV, or a schema file for the engine."""

from headrace.synth.learn.relations import Relation, Relations
from headrace.synth.learn.report import ModelCheck, ModelReport
from headrace.synth.learn.service import (
    Learned,
    LearnedSchema,
    is_model,
    learn,
    learn_schema,
    sample,
)

__all__ = [
    "Learned",
    "LearnedSchema",
    "ModelCheck",
    "ModelReport",
    "Relation",
    "Relations",
    "is_model",
    "learn",
    "learn_schema",
    "sample",
]
