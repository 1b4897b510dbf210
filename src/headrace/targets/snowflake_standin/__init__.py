"""A stand-in for Snowflake on this machine: snowduck's SQL behind Snowflake's protocol.

Nothing outside this package knows snowduck, or what Snowflake's clients need that it lacks. It is
reached over HTTP by the clients that reach Snowflake: dlt, dbt, the connector.

    process.py     starts the server, and ends it with the last process that uses it
    server.py      the protocol: log in, queries, results in Arrow, transfers of files
    engine.py      what all sessions share: the DuckDB files, one writer at a time
    session.py     a session: its transaction, and what snowduck makes of a statement
    execution.py   statements one after the other, each recognised
    statements.py  statements that snowduck does not know, does differently, or would take silently
    names.py       names of objects
    stages.py      stages, PUT, GET, LIST, REMOVE
    file_formats.py  formats of files, and options of statements
    file_values.py   what of a file goes into which column
    copying.py     COPY INTO, in both directions
    results.py     what a statement gives, as the connector reads it
"""

ACCOUNT = "headrace_local"
USER = "HEADRACE"
PASSWORD = "headrace-local"  # noqa: S105
"""They are fixed, documented, and good on this machine alone: the server listens on 127.0.0.1."""
