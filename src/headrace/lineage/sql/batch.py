"""Many statements to their summaries, on several cores where that pays."""

import gc
from collections.abc import Sequence

from headrace import portable
from headrace.lineage.sql.parse import summarize
from headrace.lineage.sql.tree import Summary
from headrace.process import gc_paused

PAYS = 1_500_000
"""Characters of SQL; below it, starting processes takes longer than reading."""

_CHUNK = 64


def summarize_all(
    statements: Sequence[tuple[str, str]], *, workers: int | None = None
) -> list[Summary]:
    """Read statements.

    Args:
        statements: SQL and dialect.
        workers: processes; None: one for each core if there is enough to read, else none.

    Returns:
        Their summaries, in order.
    """
    if workers is None:
        enough = sum(len(sql) for sql, _ in statements) > PAYS
        workers = portable.cores() if enough else 1
    if workers < 2 or len(statements) < 2:
        return _in_turn(statements)
    return _in_processes(statements, workers)


def _in_turn(statements: Sequence[tuple[str, str]]) -> list[Summary]:
    found = []
    with gc_paused():
        for number, (sql, dialect) in enumerate(statements, 1):
            found.append(summarize(sql, dialect))
            if number % _CHUNK == 0:
                gc.collect(0)  # sqlglot's trees, which point both up and down
    return found


def _in_processes(statements: Sequence[tuple[str, str]], workers: int) -> list[Summary]:
    """By processes that start anew; without them where none can be started."""
    from concurrent.futures import ProcessPoolExecutor
    from concurrent.futures.process import BrokenProcessPool
    from multiprocessing import get_context

    import msgspec

    size = max(1, min(_CHUNK, -(-len(statements) // workers)))
    chunks = [statements[start : start + size] for start in range(0, len(statements), size)]
    decode = msgspec.msgpack.Decoder(list[Summary]).decode
    try:
        with ProcessPoolExecutor(workers, mp_context=get_context("spawn")) as pool:
            encoded = list(pool.map(_chunk, chunks))
    except (BrokenProcessPool, OSError):
        return _in_turn(statements)
    return [summary for one in encoded for summary in decode(one)]


def _chunk(statements: Sequence[tuple[str, str]]) -> bytes:
    import msgspec

    return msgspec.msgpack.encode(_in_turn(statements))
