"""The publish step: what passed its audit becomes visible at once; what was published before."""
