"""Assets, parents first."""

from collections.abc import Mapping, Sequence

from headrace.catalog.model import Catalog


def in_order(catalog: Catalog, reads: Mapping[str, Sequence[str]]) -> list[str]:
    """All assets, each after those that it reads.

    Args:
        catalog: its ``parents`` count.
        reads: asset id to the assets that its SQL reads; these count, too.

    Returns:
        Ids; those in a circle come last, in the catalog's order.
    """
    waits: dict[str, int] = {}
    followers: dict[str, list[str]] = {}
    for key in catalog.assets:
        before = {*catalog.parents.get(key, ()), *reads.get(key, ())} - {key}
        before &= catalog.assets.keys()
        waits[key] = len(before)
        for parent in before:
            followers.setdefault(parent, []).append(key)
    ready = [key for key, count in waits.items() if not count]
    for key in ready:
        for follower in followers.get(key, ()):
            waits[follower] -= 1
            if not waits[follower]:
                ready.append(follower)
    done = set(ready)
    return ready + [key for key in catalog.assets if key not in done]
