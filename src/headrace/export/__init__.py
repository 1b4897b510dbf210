"""The catalog and the runs exported to open standards: OpenLineage and DataHub."""
