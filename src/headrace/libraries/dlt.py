"""dlt: how it is told to behave, and what of its insides Headrace relies on."""

import os
from collections.abc import Iterator
from contextlib import contextmanager

from headrace import process

_ENVIRONMENT = {
    # staging tells completed loads by `_dlt_load_id`
    "NORMALIZE__MODEL_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "NORMALIZE__PARQUET_NORMALIZER__ADD_DLT_LOAD_ID": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
    # dlt would note a Ctrl-C and go on; when its step ends before it looks, the note is lost
    "RUNTIME__INTERCEPT_SIGNALS": "false",
}


@contextmanager
def environment() -> Iterator[None]:
    """dlt with load ids on every row, without telemetry and without a log of its own."""
    level = os.environ.get("RUNTIME__LOG_LEVEL", "CRITICAL")  # Headrace reports each error once
    with process.environment({**_ENVIRONMENT, "RUNTIME__LOG_LEVEL": level}):
        yield
