"""How good the monitors are: a simulated shop is replayed with faults whose place is known."""
