"""Monitors and profiles of a run's tables."""
