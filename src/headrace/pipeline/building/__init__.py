"""The build step: dbt builds and tests; what failed or was skipped is told, with rows."""
