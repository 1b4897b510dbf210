"""A run and its steps, under one lock; each step returns a report.

load ─► build ─────────────► audit ─► publish ─► catalog        run calls them in order
sources    dbt_runner                    │                      and records their reports
row_changes unbuilt                      └─► state/: kept for later slim_build and diff
"""
