"""Snowfakery: customers and their orders, by its own recipe."""

import json
import sys
import time
from pathlib import Path

from snowfakery import generate_data

COUNT = 10_000
RECIPE = f"""
- object: Customer
  count: {COUNT}
  fields:
    first_name: {{fake: FirstName}}
    last_name: {{fake: LastName}}
    email: ${{{{first_name}}}}.${{{{last_name}}}}.${{{{id}}}}@example.com
    registration_date:
      date_between: {{start_date: 2023-01-01, end_date: 2024-12-31}}
"""


def made(folder: Path) -> bytes:
    """The customers as CSV."""
    folder.mkdir(parents=True, exist_ok=True)
    recipe = folder / "recipe.yml"
    recipe.write_text(RECIPE, encoding="utf-8")
    generate_data(recipe, output_format="csv", output_folder=folder)
    return (folder / "Customer.csv").read_bytes()


work = Path(sys.argv[1])
started = time.perf_counter()
first = made(work / "1")
seconds = time.perf_counter() - started
print(json.dumps({"rows": COUNT, "seconds": seconds, "what": f"{COUNT:,} customers to CSV",
                  "same": first == made(work / "2")}))  # fmt: skip
