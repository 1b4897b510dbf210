"""Column lineage of one SQL statement, in two steps.

    SQL text ─► parse ─► queries ─► sources, select_list ─► expressions ─► Summary (tree)
    Summary, columns of the tables ─► statement ─► select ─► from_clause ─► evaluator ─► Relation

The first step reads a statement once, with sqlglot, and keeps what matters for lineage as a small
tree; it depends on the text and the dialect alone, so it is cached by content. The second step
works out, with the columns of the tables that are read, where each output column comes from.
"""
