"""What PostgreSQL's messages say, in one sentence with what to change; never a password.

A connection that is not made has no code of an error, only libpq's text, in English unless the
server's `lc_messages` says else; a text that is not known is passed on.
"""

import re
from collections.abc import Mapping

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.targets.server_target import advised

_CAUSES = (
    (
        r"password authentication failed|no password supplied|authentication failed",
        (
            "{place} refuses the password of {user}: set HEADRACE_TARGETS__<NAME>__PASSWORD, or "
            "targets.*.url"
        ),
    ),
    (
        r'role "[^"]*" does not exist',
        "{place} has no role {user}: create it, or set targets.*.user",
    ),
    (
        r'database "[^"]*" does not exist',
        (
            "there is no database {database} on {host}: run `createdb {database}`, or set "
            "targets.*.dbname"
        ),
    ),
    (
        r"no pg_hba\.conf entry",
        (
            "{place} does not let {user} in from this machine ({said}): add it to pg_hba.conf, or "
            "set targets.*.sslmode"
        ),
    ),
    (
        r"does not support SSL|SSL (error|SYSCALL)|certificate",
        "no safe connection to {place}: {said} (targets.*.sslmode, targets.*.sslrootcert)",
    ),
    (
        (
            r"Connection refused|could not connect|No such file or directory|No route to host|"
            r"Network is unreachable"
        ),
        (
            "there is no PostgreSQL server at {place}: start it, or set targets.*.host and "
            "targets.*.port"
        ),
    ),
    (
        r"could not translate host name|Name or service not known|resolve|nodename nor servname",
        "the host {host} is not known: set targets.*.host",
    ),
    (r"timeout expired|timed out", "{place} does not answer: is the host right, and a firewall?"),
    (
        r"too many (clients|connections)|remaining connection slots",
        "{place} has no connection left: close others, or raise max_connections",
    ),
    (
        r"read-only transaction|in a read-only",
        "{place} is read-only: name the primary server in targets.*.host",
    ),
    (r"permission denied|must be owner", "{user} lacks a permission in {place}: {said}"),
    (r"No space left|disk full|could not extend file", "the disk of {place} is full: {said}"),
    (
        (
            r"server closed the connection|terminating connection|connection (was )?(lost|reset)|"
            r"starting up|shutting down|connection is closed|unexpectedly|administrator command|"
            r"in recovery mode"
        ),
        (
            "{place} ended the connection, as a server does that stops or crashes: what readers "
            "have is untouched; run again when it is up"
        ),
    ),
)


def explained(error: Exception | str, parts: Mapping[str, str], place: str) -> WarehouseError:
    """What went wrong, and what to change; never the password."""
    text = str(error)
    lines = [line for line in text.splitlines() if not re.match(r"\s*(LINE|\^|CONTEXT)", line)]
    said = first_line("\n".join(lines)).removeprefix("connection failed: ")
    return advised(
        _CAUSES, text, place=place, said=said, user=parts["user"], database=parts["dbname"],
        host=parts["host"],
    )  # fmt: skip
