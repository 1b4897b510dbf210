"""Rows that were put aside: listed, corrected, loaded again."""
