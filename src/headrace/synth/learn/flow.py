"""Values as YAML's flow style writes them."""

import json
import re
from collections.abc import Mapping
from typing import Any

import numpy as np


def short(share: float) -> float:
    """A share with six digits that count."""
    return float(f"{share:.6g}")


def number_of(value: Any, decimals: int | None) -> int | float:
    """A number without needless digits; an integer where it is one."""
    if isinstance(value, int | np.integer):
        return int(value)
    number = round(float(value), decimals) if decimals is not None else float(value)
    if decimals is None and abs(number) < 1e9:
        number = float(f"{number:.12g}")
    return int(number) if number.is_integer() and abs(number) < 2**53 else number


def flow(value: Any) -> str:
    """A value in YAML's flow style."""
    if isinstance(value, Mapping):
        return "{" + ", ".join(f"{key}: {flow(item)}" for key, item in value.items()) + "}"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(flow(item) for item in value) + "]"
    if isinstance(value, str):
        plain = re.fullmatch(r"[A-Za-z_][A-Za-z0-9_.]*", value)
        if plain and value.lower() not in {"null", "true", "false", "yes", "no", "on", "off",
                                           "y", "n"}:  # fmt: skip
            return value
        text = json.dumps(value, ensure_ascii=False)
        return "".join(mark if mark.isprintable() else f"\\U{ord(mark):08x}" for mark in text)
    return json.dumps(value)


def one_line(text: str) -> str:
    """A text as a comment takes it."""
    return re.sub(r"[^ -~\u00a1-\ufffd]+", " ", text)
