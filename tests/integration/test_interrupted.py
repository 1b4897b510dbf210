"""What a stopped or starved run leaves behind, and that the next one makes up for it."""

import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from lab import Lab, Shop, fingerprint

from headrace.errors import UserError


def test_pending_package_is_dropped_and_its_files_read_anew(
    done: Lab, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    path = done.data_dir / "jaffle_shop/raw_customers.csv"
    path.write_text(path.read_text() + "101,Ada,L.\n")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            done.run("load")
    report = done.load()

    customers = report.tables[0]
    assert (customers.rows_new, customers.rows_total) == (1, 101)
    assert any("read anew" in note for note in customers.notes)
    again = done.load()
    assert [(table.rows_new, table.notes) for table in again.tables] == [(0, ())] * 3


def test_pending_package_of_a_first_load_is_read_anew(
    shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    import dlt

    shop.write("orders.csv", "id\n1\n2\n")
    lab = shop.lab_with("{orders: {pattern: '*', primary_key: [id]}}")

    def stopped(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(dlt.Pipeline, "load", stopped)
        with pytest.raises(KeyboardInterrupt):
            lab.load()
    shop.write("orders.csv", "id\n1\n3\n")
    table = lab.load_one()

    assert (table.rows_new, table.rows_total) == (2, 2)
    assert any("read anew" in note for note in table.notes)
    assert lab.query("select id from store_raw.orders order by id") == [(1,), (3,)]


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 24 MiB."""
    path = tmp_path / "disk"
    path.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(path)]
    try:
        subprocess.run(command, check=True, capture_output=True)
    except (OSError, subprocess.CalledProcessError):
        pytest.skip("a small file system can only be mounted by root, on Linux")
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


@pytest.mark.slow
@pytest.mark.parametrize("left", [0, 1_200, 3_000])
def test_full_disk(done: Lab, small_disk: Path, left: int) -> None:
    shutil.copytree(done.data_dir, small_disk / "data")
    lab = Lab(small_disk / "data")
    path = lab.data_dir / "jaffle_shop/raw_customers.csv"
    extra = "".join(f"{number},Ada,L.\n" for number in range(101, 20_000))
    path.write_text(path.read_text() + extra)
    ballast = small_disk / "ballast"
    free = shutil.disk_usage(small_disk).free - left * 1024
    ballast.write_bytes(b"\1" * free)
    before = fingerprint(lab.published)
    with pytest.raises(UserError) as error:
        lab.run()
    assert "full" in str(error.value), str(error.value)
    assert "\n" not in str(error.value)
    assert fingerprint(lab.published) == before

    ballast.unlink()
    assert lab.run().status == "success"
    count = lab.query("select count(*) from marts.customers", path=lab.published)
    assert count == [(19_999,)]
