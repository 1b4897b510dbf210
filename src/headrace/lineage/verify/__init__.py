"""Column lineage checked against the data itself.

catalog ─► plan ─► sample of the raw tables ─► one replica per thread ─► compare ─► report
                                               (change a column, build again)
"""

from headrace.lineage.verify.check import verify, warehouse_alias
from headrace.lineage.verify.plan import in_duckdb
from headrace.lineage.verify.report import ROWS, VerifyOptions, VerifyReport

__all__ = ["ROWS", "VerifyOptions", "VerifyReport", "in_duckdb", "verify", "warehouse_alias"]
