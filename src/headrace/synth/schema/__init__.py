"""The schema file: its models, its reader and its checks."""
