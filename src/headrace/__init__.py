"""Headrace: a data platform that you copy."""

__version__ = "0.1.0"
