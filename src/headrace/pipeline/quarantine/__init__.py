"""Rows that could not be loaded: listed, corrected, loaded again."""
