"""OpenLineage: a run as events, and the catalog as events without a run."""
