"""Column lineage: read from SQL, traced through the catalog, and checked against the data.

compiled SQL (``sql``), dlt, dbt ─► columns ─► column edges of the catalog
a name ─► find ─► trace, impact ─► report
catalog, raw tables of the warehouse ─► verify ─► report
"""
