"""Spark as a target, and Sail, which speaks its protocol."""
