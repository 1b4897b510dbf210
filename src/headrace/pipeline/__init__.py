"""A run and its steps, under one lock; `run` calls them in order and records their reports.

load ─► build ─► audit ─► publish ─► catalog
                            └─► state folder ─► slim build, diff
"""
