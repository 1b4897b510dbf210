"""The catalog and the runs in the words of open standards: OpenLineage and DataHub."""
