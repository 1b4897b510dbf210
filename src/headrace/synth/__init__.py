"""Simulated data: pure functions of a seed, the same bytes on every machine."""
