"""The stand-in's process, which starts with the first one that uses it and ends with the last.

A lifeline is a connection whose first message has a code of its own instead of a version of the
protocol. It tells the bucket of COPY and UNLOAD, which the environment of the client names.
"""

import json
import os
import struct
from contextlib import ExitStack
from pathlib import Path

from headrace.targets.redshift_mock.messages import LIFELINE, LIFELINE_HELD
from headrace.targets.stand_in import StandIn

_FIRST_LIFELINE_S = 30.0
_BUCKET = {
    "endpoint": "AWS_ENDPOINT_URL",
    "region": "AWS_REGION",
    "key_id": "AWS_ACCESS_KEY_ID",
    "secret": "AWS_SECRET_ACCESS_KEY",
}


def _greeting(port: int) -> bytes:
    del port
    told = json.dumps({name: os.environ.get(key) for name, key in _BUCKET.items()}).encode()
    return struct.pack("!ii", 8 + len(told), LIFELINE) + told


_STAND_IN = StandIn(
    "Redshift", "headrace.targets.redshift_mock", _greeting, answer_ends=LIFELINE_HELD
)
port_of, release = _STAND_IN.port_of, _STAND_IN.release
wait_until_ended, apart = _STAND_IN.wait_until_ended, _STAND_IN.apart


def serve(folder: Path, port: int = 0) -> None:
    """Serve a folder until the last process that uses it has ended.

    Raises:
        WarehouseError: PostgreSQL cannot be started.
    """
    import asyncio

    from headrace.targets.redshift_mock import HOST, server
    from headrace.targets.redshift_mock.files import S3Files

    async def served(mock: server.RedshiftMock) -> None:
        announced.enter_context(_STAND_IN.announced(folder, await mock.listen(HOST, port)))
        await mock.serve_lifelines(_FIRST_LIFELINE_S)

    with ExitStack() as announced, server.postgres(None, folder) as upstream:
        mock = server.RedshiftMock(upstream, S3Files())
        mock.check()
        asyncio.run(served(mock))
