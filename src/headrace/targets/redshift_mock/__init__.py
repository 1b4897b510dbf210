"""A stand-in for Amazon Redshift on PostgreSQL: ``headrace redshift-mock``, target redshift."""

HOST, PORT = "127.0.0.1", 5439
USER, PASSWORD, DATABASE = "headrace", "Headrace-local-1", "dev"
"""Fixed, and in the docs: the stand-in listens on this machine alone."""
