"""A stand-in for Amazon Redshift on PostgreSQL: ``headrace redshift-mock``."""
