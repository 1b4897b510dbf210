"""Where DuckDB reaches its memory limit, a larger one is tried, as far as the machine goes."""

import duckdb
import pytest

from headrace.libraries.duckdb import larger_limit, with_room


def test_a_limit_grows_up_to_that_of_duckdb() -> None:
    limits = ["100MB"]
    while (larger := larger_limit(limits[-1])) is not None:
        limits.append(larger)
        assert len(limits) < 12
    assert limits[1] == "400000000B"
    with duckdb.connect() as connection:
        own = connection.execute("select current_setting('memory_limit')").fetchall()
        assert larger_limit(own[0][0]) is None, "which is rounded"
        connection.execute(f"set memory_limit = '{limits[-1]}'")
        ((most,),) = connection.execute("select current_setting('memory_limit')").fetchall()
    assert larger_limit(most) is None


def test_what_needs_more_is_done_again() -> None:
    sql = "select len(list(i)) from range(9_000_000) as r(i)"
    with duckdb.connect(config={"memory_limit": "30MB", "threads": "1"}) as connection:
        with pytest.raises(duckdb.OutOfMemoryException):
            connection.execute(sql)
        tries = []

        def do() -> int:
            tries.append(1)
            return int(connection.execute(sql).fetchall()[0][0])

        assert with_room(connection, do) == 9_000_000
        assert len(tries) > 1
        with pytest.raises(duckdb.CatalogException):
            with_room(connection, lambda: connection.execute("from nothing"))


def test_what_no_limit_is_enough_for_is_an_error() -> None:
    tries = []

    def never() -> None:
        tries.append(1)
        raise duckdb.OutOfMemoryException("Out of Memory Error")

    with (
        duckdb.connect(config={"memory_limit": "1GB"}) as connection,
        pytest.raises(duckdb.OutOfMemoryException),
    ):
        with_room(connection, never)
    assert 1 < len(tries) < 12
