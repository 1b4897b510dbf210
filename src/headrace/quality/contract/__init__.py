"""Contracts between teams, in the Open Data Contract Standard: read, written and checked."""

from headrace.quality.contract.checks import ContractCheck, check_contract
from headrace.quality.contract.document import Contract, read_contract

__all__ = ["Contract", "ContractCheck", "check_contract", "read_contract"]
