"""Walks and orders over a graph that is given as a map from a node's id to its neighbours."""

from collections.abc import Collection, Iterable, Mapping


def reachable(neighbours: Mapping[str, Iterable[str]], start: Iterable[str]) -> dict[str, None]:
    """Every node that some nodes lead to, in the order found; the first ones come first.

    Args:
        neighbours: node id to the ids one step away; nodes that lead nowhere may be missing.
        start: ids; they are part of the result.
    """
    seen = dict.fromkeys(start)
    todo = list(seen)
    while todo:
        for other in neighbours.get(todo.pop(), ()):
            if other not in seen:
                seen[other] = None
                todo.append(other)
    return seen


def topological_order(parents: Mapping[str, Collection[str]]) -> tuple[list[str], list[str]]:
    """All nodes, each after its parents.

    Args:
        parents: node id to the ids that must come before it; others than its keys do not count.

    Returns:
        The order, and the nodes that have none because they are in a cycle or behind one. Both are
        in the order of ``parents`` where nothing else decides.
    """
    waiting: dict[str, int] = {}
    children: dict[str, list[str]] = {}
    for key, found in parents.items():
        before = (set(found) - {key}) & parents.keys()
        waiting[key] = len(before)
        for parent in before:
            children.setdefault(parent, []).append(key)
    ready = [key for key, count in waiting.items() if not count]
    for key in ready:
        for child in children.get(key, ()):
            waiting[child] -= 1
            if not waiting[child]:
                ready.append(child)
    done = set(ready)
    return ready, [key for key in parents if key not in done]
