"""DataHub: the catalog as metadata change proposals."""
