"""A project with trouble: a failing test and its repair, quarantined rows, an empty table."""

import csv
from collections.abc import Sequence
from pathlib import Path

from lab import Lab, copy_project

from headrace.pipeline.reports import RunReport

EMPTY_TABLE = "table.returns_raw.returns"
"""A raw table of a file that has only a header."""

_RETURNS = "{returns: {pattern: '*.csv', primary_key: [id], allow_empty: true}}"


class TroubledProject:
    """Four runs over one warehouse: good, failed, repaired with rows quarantined, failed again."""

    def __init__(self, folder: Path) -> None:
        """Write the project and its files; nothing has run yet."""
        self._files = folder / "files"
        self._root = copy_project(folder / "project")
        self.lab = Lab(
            folder / "data",
            self._root,
            (
                f"sources.jaffle_shop.path={self._files / 'jaffle'}",
                "sources.returns.kind=files",
                f"sources.returns.path={self._files / 'returns'}",
                f"sources.returns.tables={_RETURNS}",
                "sources.parcels.kind=files",
                f"sources.parcels.path={self._files / 'parcels'}",
                "sources.parcels.tables={parcels: {pattern: '*.csv', primary_key: [id]}}",
            ),
            observes=True,
        )

    def run_all(self) -> list[RunReport]:
        """Run into each trouble and out of it."""
        customers = [(key, f"Name {key}", "P.") for key in range(1, 31)]
        orders = [(key, key % 30 + 1, "2024-03-01", "completed") for key in range(1, 61)]
        payments = [(key, key, "coupon", 100 * key) for key in range(1, 61)]
        self._write("jaffle/raw_customers.csv", "id,first_name,last_name", customers)
        self._write("jaffle/raw_orders.csv", "id,user_id,order_date,status", orders)
        self._write("jaffle/raw_payments.csv", "id,order_id,payment_method,amount", payments)
        self._write("returns/returns.csv", "id,order_id,reason", [])
        self._write("parcels/a.csv", "id,order_id,weight", [(1, 1, 10), (2, 2, 20)])
        good = self.lab.run()
        lost = [*orders[:-3], *[(*order[:3], "lost") for order in orders[-3:]]]
        self._write("jaffle/raw_orders.csv", "id,user_id,order_date,status", lost)
        failed = self.lab.run()
        self._write("jaffle/raw_orders.csv", "id,user_id,order_date,status", orders)
        parcels = [(3, 3, "heavy"), (4, 4, "?"), (5, 5, 7)]
        self._write("parcels/b.csv", "id,order_id,weight", parcels)
        repaired = self.lab.run()
        strangers = [(61, 99, "2024-03-02", "placed"), *orders]
        self._write("jaffle/raw_orders.csv", "id,user_id,order_date,status", strangers)
        again = self.lab.run()
        return [good, failed, repaired, again]

    def _write(self, name: str, header: str, rows: Sequence[tuple[object, ...]]) -> None:
        path = self._files / name
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("w", encoding="utf-8", newline="") as stream:
            stream.write(f"{header}\n")
            csv.writer(stream, lineterminator="\n").writerows(rows)
