"""Contracts between teams, in the Open Data Contract Standard: read, written and checked."""

from headrace.quality.contract.checks import ContractCheck, check_contract
from headrace.quality.contract.document import Contract, contract_of_levels, read_contract

__all__ = ["Contract", "ContractCheck", "check_contract", "contract_of_levels", "read_contract"]
