"""DuckLake as a target."""
