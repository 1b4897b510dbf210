"""The sample of the jaffle shop: its bytes, its laws, and that it is written whole."""

import csv
import os
import re
import subprocess
import sys
from collections import Counter
from datetime import date
from hashlib import sha256
from pathlib import Path

import pytest
from dlt_pipelines.jaffle_shop import TABLES
from dlt_pipelines.jaffle_shop.sample import SCHEMA, complete_sample

Rows = list[dict[str, str]]

NAMES = [name for table in TABLES.values() for name in table.patterns]
GOLDEN = {
    "raw_customers.csv": "4ac44092374a9470ac700920dd6c6c49665034f2e461a8523cb6bbf79e90b34f",
    "raw_orders.csv": "0da3a40f794de5599965318f9534ea7abef5700864019126b00c5501171f0834",
    "raw_payments.csv": "4c0f06fe3d4dde0926c58cb6acdd93a1955f0b4da69ac139e7998f6928efae85",
}


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    directory = tmp_path_factory.mktemp("jaffle_shop") / "not" / "there yet"
    complete_sample(directory, NAMES)
    return [directory / name for name in NAMES]


@pytest.fixture(scope="module")
def customers(files: list[Path]) -> Rows:
    return read(files[0])


@pytest.fixture(scope="module")
def orders(files: list[Path]) -> Rows:
    return read(files[1])


@pytest.fixture(scope="module")
def payments(files: list[Path]) -> Rows:
    return read(files[2])


def read(path: Path) -> Rows:
    with path.open(encoding="utf-8", newline="") as file:
        return list(csv.DictReader(file))


def test_same_bytes_on_every_machine(files: list[Path]) -> None:
    assert {path.name: sha256(path.read_bytes()).hexdigest() for path in files} == GOLDEN


def test_same_bytes_whatever_the_hash_seed_time_zone_and_locale(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHONHASHSEED": "7", "TZ": "Asia/Tokyo", "LC_ALL": "C"}
    arguments = ["generate", str(SCHEMA), "--format", "csv", "--out", str(tmp_path)]
    subprocess.run(
        [sys.executable, "-m", "headrace", *arguments],
        env=environment, check=True, capture_output=True,
    )  # fmt: skip
    digests = {path.name: sha256(path.read_bytes()).hexdigest() for path in tmp_path.glob("*.csv")}
    assert digests == GOLDEN


def test_lines_end_with_a_line_feed_alone(files: list[Path]) -> None:
    for path in files:
        content = path.read_bytes()
        assert content.endswith(b"\n")
        assert b"\r" not in content


def test_shape_is_the_classic_one(customers: Rows, orders: Rows, payments: Rows) -> None:
    assert (len(customers), len(orders), len(payments)) == (100, 99, 113)
    assert list(customers[0]) == ["id", "first_name", "last_name"]
    assert list(orders[0]) == ["id", "user_id", "order_date", "status"]
    assert list(payments[0]) == ["id", "order_id", "payment_method", "amount"]


def test_keys_count_from_one(customers: Rows, orders: Rows, payments: Rows) -> None:
    for rows in (customers, orders, payments):
        assert [int(row["id"]) for row in rows] == list(range(1, len(rows) + 1))


def test_every_order_has_a_customer_and_some_customers_have_none(
    customers: Rows, orders: Rows
) -> None:
    keys = {row["id"] for row in customers}
    used = {row["user_id"] for row in orders}
    assert used <= keys
    assert 20 <= len(keys - used) <= 60


def test_every_order_is_paid_at_once_or_in_two_parts_by_two_methods(
    orders: Rows, payments: Rows
) -> None:
    parts = Counter(row["order_id"] for row in payments)
    assert set(parts) == {row["id"] for row in orders}
    assert Counter(parts.values()) == {1: 85, 2: 14}
    assert len({(row["order_id"], row["payment_method"]) for row in payments}) == len(payments)
    assert [int(row["order_id"]) for row in payments] == sorted(
        int(row["order_id"]) for row in payments
    )


def test_names_are_a_first_name_and_an_initial(customers: Rows) -> None:
    for row in customers:
        assert row["first_name"].isalpha()
        assert row["first_name"].istitle()
        assert re.fullmatch(r"[A-Z]\.", row["last_name"])


def test_orders_lie_within_2024_and_are_numbered_by_date(orders: Rows) -> None:
    days = [date.fromisoformat(row["order_date"]) for row in orders]
    assert days == sorted(days)
    assert {day.year for day in days} == {2024}


def test_status_follows_from_the_age_of_an_order(orders: Rows) -> None:
    plausible = {
        "placed": range(14),
        "shipped": range(2, 34),
        "completed": range(12, 366),
        "return_pending": range(13, 99),
        "returned": range(33, 366),
    }
    assert {row["status"] for row in orders} == set(plausible)
    for row in orders:
        age = (date(2024, 12, 31) - date.fromisoformat(row["order_date"])).days
        assert age in plausible[row["status"]], row
    assert Counter(row["status"] for row in orders)["completed"] > 50


def test_methods_are_the_classic_four_and_cards_lead(payments: Rows) -> None:
    methods = Counter(row["payment_method"] for row in payments)
    assert set(methods) == {"credit_card", "coupon", "bank_transfer", "gift_card"}
    assert methods.most_common(1)[0][0] == "credit_card"


def test_amounts_are_cents_and_mostly_whole_dollars(payments: Rows) -> None:
    amounts = [int(row["amount"]) for row in payments]
    assert all(50 <= amount <= 3000 for amount in amounts)
    odd = sum(amount % 100 != 0 for amount in amounts)
    assert 0 < odd < len(amounts) / 4


def test_a_file_in_the_place_of_the_directory_is_an_os_error(tmp_path: Path) -> None:
    place = tmp_path / "taken"
    place.touch()
    with pytest.raises(FileExistsError):
        complete_sample(place, NAMES)


def test_missing_files_are_completed_unless_one_is_somebodys_own(tmp_path: Path) -> None:
    complete_sample(tmp_path, NAMES)
    (tmp_path / "raw_orders.csv").unlink()
    complete_sample(tmp_path, NAMES)
    found = {path.name: sha256(path.read_bytes()).hexdigest() for path in tmp_path.iterdir()}
    assert found == GOLDEN  # and nothing else is left there
    (tmp_path / "raw_orders.csv").unlink()
    (tmp_path / "raw_customers.csv").write_text("id,first_name,last_name\n1,Own,O.\n")
    complete_sample(tmp_path, NAMES)
    assert not (tmp_path / "raw_orders.csv").exists()
