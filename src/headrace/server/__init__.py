"""The page and the REST API over the catalog and the run store: ``headrace serve``."""
