"""``headrace redshift-mock``: a stand-in for Amazon Redshift on this machine."""

import asyncio
import json
import os
import signal
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from headrace import portable
from headrace.cli.options import Call, shared_options
from headrace.errors import WarehouseError
from headrace.extras import how_to_install


@shared_options("json")
def redshift_mock(
    call: Call,
    port: Annotated[
        int, typer.Option("--port", min=0, max=65535, help="The port; 0 takes a free one.")
    ] = 5439,
    postgres: Annotated[
        str | None,
        typer.Option(
            "--postgres",
            metavar="URL",
            help="A PostgreSQL of yours, 16 or later, as a superuser; else one from a package.",
        ),
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="DIR", help="Keep the package's data there; else they end with it."
        ),
    ] = None,
    s3_endpoint: Annotated[
        str | None,
        typer.Option(
            "--s3-endpoint",
            metavar="URL",
            help="A server that speaks S3, for COPY and UNLOAD; else AWS_ENDPOINT_URL, or AWS.",
        ),
    ] = None,
    region: Annotated[
        str, typer.Option("--region", help="The region of the buckets.")
    ] = "us-east-1",
    iam_role: Annotated[
        list[str] | None,
        typer.Option(
            "--iam-role", metavar="ARN", help="A role that COPY and UNLOAD may name; repeatable."
        ),
    ] = None,
) -> None:
    """Stand in for Amazon Redshift on this machine. Ctrl-C ends it."""
    if find_spec("pg_mimic") is None or find_spec("psycopg") is None:
        raise WarehouseError(
            f"the Redshift stand-in needs more packages: run `{how_to_install('redshift')}`"
        )
    from headrace.targets.redshift_mock import DATABASE, HOST, PASSWORD, USER, server
    from headrace.targets.redshift_mock.files import S3Files

    files = S3Files(
        endpoint=s3_endpoint or os.environ.get("AWS_ENDPOINT_URL"),
        region=region,
        key_id=os.environ.get("AWS_ACCESS_KEY_ID"),
        secret=os.environ.get("AWS_SECRET_ACCESS_KEY"),
        roles=tuple(iam_role or ()),
    )

    async def serve(mock: server.RedshiftMock) -> None:
        listening = await mock.listen(HOST, port)
        if call.json:
            typer.echo(
                json.dumps(
                    {
                        "host": HOST,
                        "port": listening,
                        "user": USER,
                        "password": PASSWORD,
                        "database": DATABASE,
                    }
                )
            )
        else:
            typer.echo(
                f"Redshift stand-in at {HOST}:{listening}, database {DATABASE}, "
                f"user {USER}, password {PASSWORD}; Ctrl-C ends it"
            )
        await mock.serve_forever()

    with (
        suppress(KeyboardInterrupt),
        portable.handled(portable.stop_signals(), signal.default_int_handler),
        server.postgres(postgres, data) as upstream,
    ):
        mock = server.RedshiftMock(upstream, files)
        mock.check()
        asyncio.run(serve(mock))
