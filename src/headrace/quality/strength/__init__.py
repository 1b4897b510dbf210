"""How many faults the tests of a project find: faults in raw data, and mutants of models' SQL."""
