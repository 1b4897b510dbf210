"""What the tests of the generator share: a schema drawn at random, and merging a delta."""

# ruff: noqa: E501  a schema file stands in it

from datetime import datetime, timedelta
from typing import Any

from hypothesis import strategies as st

from headrace.synth.schema.schema_file import parse
from headrace.synth.view import View
from headrace.synth.world import World

START = datetime(2024, 1, 1)  # noqa: DTZ001
Row = dict[str, Any]
Rows = dict[tuple[Any, ...], Row]


def rows(view: View, name: str) -> Rows:
    """The rows of a table by their key."""
    key = view.world.plans[name].table.key
    table = view.table(name).to_pylist()
    found = {tuple(row[column] for column in key): row for row in table}
    assert len(found) == len(table), f"{name}: a key twice"
    return found


def merged(before: Rows, view: View, name: str) -> Rows:
    """What a merge of a delta on the key makes of the rows."""
    result = dict(before)
    deletions = view.world.plans[name].table.deletions
    for key, row in rows(view, name).items():
        if deletions is not None and row[deletions.column]:
            result.pop(key, None)
        else:
            result[key] = row
    return result


@st.composite
def moments(draw: st.DrawFn, days: int = 120) -> datetime:
    """A moment some days after the start, to the second."""
    seconds = draw(st.integers(3_600, days * 86_400))
    return START + timedelta(seconds=seconds)


SHOP = """\
seed: {seed}
schema:
  place:
    count: 3
    fields:
      id: {{type: serial, primary_key: true}}
      name: {{type: unique, pattern: "P-##"}}
  product:
    fields:
      id: {{type: serial, primary_key: true, start: 100}}
      created_at: {{type: datetime, distribution: rate, start: 2024-01-01, per_day: 0.3, initial: 9}}
      price: {{type: numerical, distribution: lognormal, mean: 30, stddev: 20, min: 1, as: decimal}}
  customer:
    fields:
      id: {{type: serial, primary_key: true}}
      email: {{type: unique, generator: faker.email, pii: email}}
      created_at: {{type: datetime, distribution: rate, start: 2024-01-01, per_day: 3, initial: 8, growth: {growth}}}
      invited_by: {{type: foreign_key, references: customer.id, optional: true, null_rate: 0.4}}
      orders: {{type: derived, expression: count(order)}}
      spent: {{type: derived, expression: "sum(order, total)", round: 2, as: decimal}}
      first_order_at: {{type: derived, expression: "min(order, created_at)"}}
      updated_at: {{type: datetime, distribution: updated}}
  order:
    {late}
    fields:
      id: {{type: serial, primary_key: true}}
      customer_id: {{type: foreign_key, references: customer.id, distribution: {distribution}}}
      place_id: {{type: foreign_key, references: place.id, distribution: cover, null_rate: 0.1}}
      created_at: {{type: datetime, distribution: rate, start: 2024-01-01, per_day: 6, noise: 0.3, weekday: [1, 1, 1, 1, 2, 3, 2], season: [1, 2, 3, 1, 1, 1, 1, 1, 1, 1, 1, 2]}}
      status:
        type: status
        start: pending
        ladder:
          pending: {{to: {{paid: 0.9, voided: 0.1}}, delay: {{min: 5min, max: 3d}}}}
          paid: {{to: {{refunded: 0.3}}, delay: {{min: 1h, max: 9d}}}}
      paid_at: {{type: derived, expression: "entered(status, 'paid')"}}
      lines: {{type: derived, expression: count(line)}}
      refunded: {{type: derived, expression: "sum(refund, amount)", round: 2, as: decimal}}
      total: {{type: derived, expression: "sum(line, amount)", round: 2, as: decimal}}
      updated_at: {{type: datetime, distribution: updated}}
      note: {{type: text, null_rate: 0.2}}
      address: {{type: struct, null_rate: 0.1, fields: {{city: {{type: categorical, generator: faker.city}}, zip: {{type: text, pattern: "#####"}}}}}}
      items: {{type: list, of: line, fields: {{id: {{type: derived, expression: id}}, amount: {{type: derived, expression: amount, round: 2, as: text}}}}}}
  line:
    per: {{table: order, count: {{distribution: geometric, mean: 2, min: 1, max: 6}}}}
    fields:
      id: {{type: serial, primary_key: true}}
      order_id: {{type: derived, expression: order.id}}
      product_id: {{type: foreign_key, references: product.id, distribution: zipf}}
      quantity: {{type: numerical, distribution: poisson, mean: 1.2, min: 1}}
      amount: {{type: derived, expression: product.price * quantity, round: 2, as: decimal}}
  refund:
    per: {{table: order, at: "entered(order.status, 'refunded')", within: 15d}}
    fields:
      id: {{type: serial, primary_key: true}}
      order_id: {{type: derived, expression: order.id}}
      amount: {{type: derived, expression: order.total, round: 2, as: decimal}}
      created_at: {{type: datetime, distribution: created}}
  review:
    per: {{table: line, count: {{max: 1}}, at: line.order.created_at + days(number + 2), within: 4d}}
    {corrections}
    {deletions}
    fields:
      id: {{type: serial, primary_key: true}}
      line_id: {{type: derived, expression: line.id}}
      stars: {{type: categorical, values: {{"1": 1, "5": 4}}}}
      updated_at: {{type: datetime, distribution: updated}}
"""


@st.composite
def worlds(draw: st.DrawFn, scale: float | None = None) -> World:
    """A small shop of which some features are on."""
    text = SHOP.format(
        seed=draw(st.integers(0, 2**31)),
        growth=draw(st.sampled_from([0, 0.5, -0.4])),
        distribution=draw(st.sampled_from(["uniform", "zipf"])),
        late=draw(st.sampled_from(["", "late: {rate: 0.2, max: 3d}"])),
        corrections=draw(
            st.sampled_from(["", "corrections: {rate: 0.3, within: 6d, columns: [stars]}"])
        ),
        deletions=draw(st.sampled_from(["", "deletions: {rate: 0.3, within: 8d}"])),
    )
    return World(parse(text), scale=scale or draw(st.sampled_from([0.4, 1.0])))
