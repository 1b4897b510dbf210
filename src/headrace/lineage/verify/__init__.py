"""Column lineage checked against the data itself."""

from headrace.lineage.verify.check import verify, warehouse_alias
from headrace.lineage.verify.report import VerifyReport
from headrace.lineage.verify.summary import ROWS, Options

__all__ = ["ROWS", "Options", "VerifyReport", "verify", "warehouse_alias"]
