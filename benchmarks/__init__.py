"""What the numbers in the README come from: run by hand, on a quiet machine."""
