"""A profile by fg-data-profiling: ``fg_profile.py DATABASE``, its table `orders`, as JSON."""

import sys

import duckdb
from data_profiling import ProfileReport  # type: ignore[import-not-found, unused-ignore]

if __name__ == "__main__":
    with duckdb.connect(sys.argv[1], read_only=True) as connection:
        frame = connection.execute("from orders").df()
    print(len(ProfileReport(frame, progress_bar=False).to_json()))
