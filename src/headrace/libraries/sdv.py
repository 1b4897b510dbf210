"""SDV: its errors, and a seed for what it samples."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any


def errors() -> tuple[type[Exception], ...]:
    """What SDV raises where a sample does not suit it; it has no common base."""
    from sdv import errors
    from sdv.metadata.errors import InvalidMetadataError

    return (
        InvalidMetadataError,
        errors.InvalidDataError,
        errors.InvalidDataTypeError,
        errors.SamplingError,
        errors.SynthesizerInputError,
        errors.SynthesizerProcessingError,
        KeyError,
        TypeError,
        ValueError,
    )


@contextmanager
def seeded(synthesizer: Any, seed: int) -> Iterator[None]:
    """Have a synthesizer sample the same rows for the same seed; SDV has no public way."""
    from sdv.single_table import base

    synthesizer.reset_sampling()
    synthesizer._numpy_seed = seed  # noqa: SLF001 - of several tables
    usual = base.FIXED_RNG_SEED
    base.FIXED_RNG_SEED = seed
    try:
        yield
    finally:
        base.FIXED_RNG_SEED = usual
