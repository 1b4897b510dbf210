"""Learn from a sample: a model for SDV, or a schema file for the engine."""

from headrace.synth.learn.relations import LearnedForeignKey, Relations
from headrace.synth.learn.report import FittedModelReport, ModelCheck
from headrace.synth.learn.service import (
    Learned,
    LearnedSchema,
    is_model,
    learn,
    learn_schema,
    sample,
)

__all__ = [
    "FittedModelReport",
    "Learned",
    "LearnedForeignKey",
    "LearnedSchema",
    "ModelCheck",
    "Relations",
    "is_model",
    "learn",
    "learn_schema",
    "sample",
]
