"""Where columns come from: reading it from SQL, walking it, and proving it by data."""
