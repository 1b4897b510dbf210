"""Column lineage of one SQL statement.

Two steps. ``parse.summarize`` reads a statement once and keeps what matters for lineage as a small
tree (``tree``); it depends on the text and the dialect alone, so it is cached by content.
``statement.read`` then works out, with the columns of the tables it reads, which columns each
output column comes from.
"""
