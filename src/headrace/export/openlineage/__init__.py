"""OpenLineage: one run of Headrace as run events, for Marquez and all who read the standard."""
