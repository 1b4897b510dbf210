"""The newest results of tests."""

from collections.abc import Mapping

from headrace.catalog import NodeRun, RunStore

_REUSED = "reused"
_FAR_BACK = 1000  # runs


def newest_results(store: RunStore) -> Mapping[str, NodeRun]:
    """The newest result of each test by ``unique_id``.

    A build that was reused ran no test: the result is that of the last one that did.
    """
    found = {}
    for unique_id, node in store.latest_nodes().items():
        if node.resource_type != "test":
            continue
        if node.status == _REUSED:
            older = store.node_history(unique_id, _FAR_BACK)
            node = next((each for each in older if each.status != _REUSED), node)  # noqa: PLW2901
        found[unique_id] = node
    return found
