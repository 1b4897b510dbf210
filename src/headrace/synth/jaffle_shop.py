"""A sample of the jaffle shop: three small CSV files, the same bytes on every machine.

The files have the shape of the classic demo data (columns, value domains, 100 customers, 99
orders, 113 payments); the rows are our own. Every value is a keyed hash of its table, its column
and its row number, so that nothing depends on the platform, the time or the order of calls.
"""

import csv
import io
import os
from collections.abc import Iterable, Sequence
from dataclasses import astuple, dataclass, fields
from datetime import date, timedelta
from hashlib import blake2b
from pathlib import Path
from typing import Final

_KEY: Final = b"headrace/jaffle_shop/1"
"""Keys the hash. Another key is another sample: the golden test and the docs change with it."""

_CUSTOMERS: Final = 100
_ORDERS: Final = 99
_SPLIT_ORDERS: Final = 14
"""How many orders are paid in two parts; every other order has one payment."""

_FIRST_DAY: Final = date(2024, 1, 1)
_LAST_DAY: Final = date(2024, 12, 31)
_DAYS: Final = (_LAST_DAY - _FIRST_DAY).days + 1

_SHIPPED_AFTER: Final = 14
"""Days from the order to the parcel."""
_COMPLETED_AFTER: Final = 30
"""Days from the order to the customer's door."""
_RETURNED_AFTER: Final = 75
"""Days from the order after which a return is no longer on its way."""

_METHODS: Final = (("credit_card", 9), ("bank_transfer", 5), ("coupon", 2), ("gift_card", 2))
"""The payment methods and how often each is used, as weights."""

# fmt: off
_FIRST_NAMES: Final = (
    "Aaliyah", "Alice", "Amina", "Anders", "Beatriz", "Bruno", "Camille", "Chen", "Clara", "Dario",
    "Diego", "Elena", "Emil", "Farah", "Felix", "Freya", "Gita", "Hanna", "Hugo", "Ibrahim",
    "Imani", "Ines", "Ivan", "Jasper", "Joana", "Kofi", "Lars", "Leila", "Linh", "Luca",
    "Maja", "Mateo", "Mei", "Mila", "Nadia", "Niko", "Noor", "Olga", "Omar", "Oscar",
    "Paula", "Priya", "Quentin", "Rafael", "Rosa", "Samir", "Sana", "Sofia", "Stefan", "Tariq",
    "Tessa", "Tomas", "Uma", "Viktor", "Wanda", "Xenia", "Yara", "Yusuf", "Zara", "Zoltan",
)
# fmt: on
_LAST_INITIALS: Final = "ABCDEFGHJKLMNOPRSTVWZ"


@dataclass(frozen=True, slots=True)
class _Customer:
    """One row per customer."""

    id: int
    first_name: str
    last_name: str
    """An initial, such as "P."."""


@dataclass(frozen=True, slots=True)
class _Order:
    """One row per order."""

    id: int
    user_id: int
    order_date: date
    status: str


@dataclass(frozen=True, slots=True)
class _Payment:
    """One row per payment."""

    id: int
    order_id: int
    payment_method: str
    amount: int
    """Cents."""


def write_sample(directory: Path) -> list[Path]:
    """Write the sample's three CSV files, each of them in one step.

    A file appears whole or not at all: it is written beside its final name and renamed over it.
    Files of these names that exist are replaced; writing again gives the same bytes.

    Args:
        directory: Where the files go; it is created, with its parents, when it is not there.

    Returns:
        The paths of `raw_customers.csv` (id, first_name, last_name), `raw_orders.csv` (id,
        user_id, order_date as YYYY-MM-DD, status) and `raw_payments.csv` (id, order_id,
        payment_method, amount in cents): UTF-8, a header line, "\\n" at the end of each line.

    Raises:
        OSError: The directory or a file can't be written.
    """
    directory.mkdir(parents=True, exist_ok=True)
    written = []
    for name, content in _files().items():
        path = directory / name
        _replace(path, content)
        written.append(path)
    return written


def lacks_sample(directory: Path) -> bool:
    """Tell whether the sample is to be written: a file is missing, and none is somebody's own.

    A stopped run can leave one or two of the three files; they are completed. A directory that
    holds a file of other content belongs to the user, and is left alone.

    Args:
        directory: Where the files are or should be.

    Raises:
        OSError: A file that is there can't be read.
    """
    expected = _files()
    there = {name for name in expected if (directory / name).exists()}
    if len(there) == len(expected):
        return False
    return all((directory / name).read_bytes() == expected[name] for name in there)


def _files() -> dict[str, bytes]:
    """Return the files' names and contents."""
    orders = _orders()
    return {
        "raw_customers.csv": _csv(_Customer, _customers()),
        "raw_orders.csv": _csv(_Order, orders),
        "raw_payments.csv": _csv(_Payment, _payments(orders)),
    }


def _draw(below: int, *address: str | int) -> int:
    """Return a whole number from 0 to `below` - 1: the keyed hash of the address, scaled."""
    text = "/".join(str(part) for part in address)
    digest = blake2b(text.encode(), key=_KEY, digest_size=8).digest()
    return int.from_bytes(digest, "big") * below >> 64


def _customers() -> list[_Customer]:
    return [
        _Customer(
            id=row,
            first_name=_FIRST_NAMES[_draw(len(_FIRST_NAMES), "customers", "first_name", row)],
            last_name=_LAST_INITIALS[_draw(len(_LAST_INITIALS), "customers", "last_name", row)]
            + ".",
        )
        for row in range(1, _CUSTOMERS + 1)
    ]


def _orders() -> list[_Order]:
    """Return the orders, numbered in the order of their dates."""
    days = sorted(_day(row) for row in range(1, _ORDERS + 1))
    return [
        _Order(
            id=row,
            user_id=_draw(_CUSTOMERS, "orders", "user_id", row) + 1,
            order_date=_FIRST_DAY + timedelta(days=day),
            status=_status(row, age=_DAYS - 1 - day),
        )
        for row, day in enumerate(days, start=1)
    ]


def _day(row: int) -> int:
    """Return an order's day of the year, from 0; later days are likelier: the shop grows."""
    day = _draw(_DAYS, "orders", "order_date", row)
    if row % 2:
        return day
    return max(day, _draw(_DAYS, "orders", "order_date, second draw", row))


def _status(row: int, *, age: int) -> str:
    """Return how far an order has come, `age` days after it was made."""
    if age < _SHIPPED_AFTER:
        return "placed"
    if age < _COMPLETED_AFTER:
        return "shipped"
    if _draw(100, "orders", "status", row) >= 8:
        return "completed"
    return "return_pending" if age < _RETURNED_AFTER else "returned"


def _payments(orders: Sequence[_Order]) -> list[_Payment]:
    """Return one payment per order, and two for exactly `_SPLIT_ORDERS` of them."""
    by_hash = sorted(orders, key=lambda order: _draw(1 << 64, "payments", "split", order.id))
    split = {order.id for order in by_hash[:_SPLIT_ORDERS]}
    payments: list[_Payment] = []
    for order in orders:
        methods = [_method(order.id)]
        if order.id in split:
            methods.append(_method(order.id, besides=methods[0]))
        payments += [
            _Payment(
                id=len(payments) + part,
                order_id=order.id,
                payment_method=method,
                amount=_amount(order.id, part),
            )
            for part, method in enumerate(methods, start=1)
        ]
    return payments


def _method(order_id: int, *, besides: str | None = None) -> str:
    """Draw a payment method by weight; an order's second one is another than its first."""
    choices = [method for method, weight in _METHODS if method != besides for _ in range(weight)]
    return choices[_draw(len(choices), "payments", "method", order_id, besides or "")]


def _amount(order_id: int, part: int) -> int:
    """Draw an amount in cents: whole dollars from 1 to 30, or, for one in ten, 50 cents less."""
    dollars = 1 + _draw(30, "payments", "amount", order_id, part)
    odd = _draw(10, "payments", "odd amount", order_id, part) == 0
    return 100 * dollars - (50 if odd else 0)


def _csv(
    row_type: type[_Customer | _Order | _Payment],
    rows: Iterable[_Customer | _Order | _Payment],
) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(field.name for field in fields(row_type))
    writer.writerows(astuple(row) for row in rows)
    return text.getvalue().encode()


def _replace(path: Path, content: bytes) -> None:
    """Write a file beside its name, flush it to the disk, and rename it over its name."""
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise
