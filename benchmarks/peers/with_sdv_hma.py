"""SDV's HMA: customers and orders, learned from a tenth; its sampling alone is timed."""

import json
import time
import warnings

import numpy as np
import pandas as pd
from sdv.metadata import Metadata
from sdv.multi_table import HMASynthesizer

warnings.simplefilter("ignore")
CUSTOMERS, ORDERS = 400, 2_000

random = np.random.default_rng(0)
tables = {
    "customer": pd.DataFrame({
        "customer_id": np.arange(CUSTOMERS),
        "score": random.normal(50, 10, CUSTOMERS).round(2),
    }),
    "order": pd.DataFrame({
        "order_id": np.arange(ORDERS),
        "customer_id": random.integers(0, CUSTOMERS, ORDERS),
        "order_total": random.normal(150, 50, ORDERS).round(2),
    }),
}  # fmt: skip
metadata = Metadata.load_from_dict({
    "tables": {
        "customer": {
            "primary_key": "customer_id",
            "columns": {"customer_id": {"sdtype": "id"}, "score": {"sdtype": "numerical"}},
        },
        "order": {
            "primary_key": "order_id",
            "columns": {
                "order_id": {"sdtype": "id"},
                "customer_id": {"sdtype": "id"},
                "order_total": {"sdtype": "numerical"},
            },
        },
    },
    "relationships": [{
        "parent_table_name": "customer", "child_table_name": "order",
        "parent_primary_key": "customer_id", "child_foreign_key": "customer_id",
    }],
})  # fmt: skip
model = HMASynthesizer(metadata, verbose=False)
model.fit(tables)
started = time.perf_counter()
made = model.sample(num_rows=5 * CUSTOMERS, main_table_name="customer")
seconds = time.perf_counter() - started
count = sum(len(table) for table in made.values())
what = f"{count:,} customers and orders, fit not counted"
print(json.dumps({"rows": count, "seconds": seconds, "what": what, "same": None}))
