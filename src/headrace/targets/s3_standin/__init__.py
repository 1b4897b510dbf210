"""A stand-in for S3 on this machine: moto's server, whose objects are files of a folder.

Access key, secret and region are fixed and in the docs: it listens on the loopback address alone.
"""

KEY_ID = "headrace-local"
SECRET = "headrace-local"  # noqa: S105 - it is in the docs
REGION = "us-east-1"
EXTRA = "simulate"
LIFELINE = "/_headrace/lifeline"
"""A request that stays open as long as its process uses the server."""

__all__ = ["EXTRA", "KEY_ID", "LIFELINE", "REGION", "SECRET"]
