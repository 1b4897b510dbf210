"""Spark's session in this process, and what of pyspark's and dbt-spark's insides is relied on.

There is one session in a process: dbt-spark asks pyspark for it, and gets the one made here. Spark
keeps its catalog in memory, so the tables are registered again before dbt connects.
"""

import atexit
import os
import re
import shutil
import socket
import subprocess
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headrace.errors import WarehouseError
from headrace.exceptions import first_line
from headrace.process import forget_variables

_OLDEST_JAVA = 17  # https://spark.apache.org/docs/4.2.0/: "runs on Java 17/21/25"
_REACH_S = 5.0
_CLIENT_OPTIONS = ("SPARK_REMOTE", "SPARK_CONNECT_MODE_ENABLED", "SPARK_LOCAL_REMOTE")
_LOCK = threading.RLock()
_EXPLAINED = {
    r"java\.net\.BindException|Address already in use": (
        "a port that Spark wants is in use: stop the program that has it, or set another in "
        "{setting}.conf (spark.driver.port, spark.ui.port)"
    ),
    r"All masters are unresponsive|Master removed our application|Failed to connect to master"
    r"|Cannot call methods on a stopped SparkContext": (
        "the cluster was not reached, or gave the application up: see that master and workers run "
        "and have the memory that {setting}.executor_memory asks for"
    ),
    r"Initial job has not accepted any resources": (
        "the cluster has no free worker with that much memory: lower {setting}.executor_memory"
    ),
    r"OutOfMemoryError|Container killed|exit code 137|ExecutorLostFailure|exceeding memory": (
        "an executor ran out of memory: raise {setting}.executor_memory (of a cluster) or "
        "{setting}.memory (of this process), or divide the work into more parts by "
        "spark.sql.shuffle.partitions in {setting}.conf"
    ),
    r"Not enough memory to build and broadcast": (
        "a table that Spark takes for small does not fit the memory of one process: raise "
        "{setting}.memory, or set spark.sql.autoBroadcastJoinThreshold in {setting}.conf to -1"
    ),
    r"No space left on device": "the disk is full: free some space and run again",
}
"""What to do, by the words of an error."""


@dataclass
class Session:
    """A session, and what is registered in it.

    Attributes:
        key: what it was made from; of another one, a new session is made.
        spark: pyspark's session.
        versions: by schema and name, the version of each raw table that is registered.
        server: Sail's server in this process.
        is_current: whether what is registered is what is there.
    """

    key: object
    spark: Any
    versions: dict[tuple[str, str], str]
    server: Any = None
    is_current: bool = False

    def sql(self, statement: str) -> list[Any]:
        """The rows of a statement."""
        return list(self.spark.sql(statement).collect())

    def has(self, table: str) -> bool:
        """Whether there is a table, by its quoted name."""
        return bool(self.spark.catalog.tableExists(table))


_current: Session | None = None
own_builds: set[str] = set()
"""Names of builds of this process: the session knows their tables, for it made them."""


def explained(error: BaseException | str, setting: str, log: Path | None = None) -> str:
    """An error of Spark as one line that says what to change.

    Args:
        error: of pyspark, or its text.
        setting: where in the settings the target is: ``targets.spark``.
        log: what the Java process wrote.
    """
    text = str(error)
    if log is not None:
        with suppress(OSError):
            text += "\n" + log.read_text("utf-8", "replace")[-20_000:]
    for words, advice in _EXPLAINED.items():
        if re.search(words, text):
            return advice.format(setting=setting)
    return first_line(error)


def require_java() -> None:
    """See that there is a Java that Spark runs on.

    Raises:
        WarehouseError: there is none, or it is too old.
    """
    home = os.environ.get("JAVA_HOME")
    program = str(Path(home, "bin", "java")) if home else shutil.which("java")
    try:
        if program is None:
            raise FileNotFoundError
        done = subprocess.run(
            [program, "-version"], capture_output=True, encoding="utf-8", check=False, timeout=60
        )
    except OSError:
        where = f"JAVA_HOME ({home}) holds no bin/java" if home else "there is no java on the PATH"
        raise WarehouseError(
            f"Spark needs Java {_OLDEST_JAVA} or later, and {where}: install it, or take the "
            "target sail, which needs no Java"
        ) from None
    found = re.search(r'version "(?:1\.)?(\d+)', done.stderr)
    if found is not None and int(found[1]) < _OLDEST_JAVA:
        raise WarehouseError(
            f"Spark needs Java {_OLDEST_JAVA} or later, and {program} is Java {found[1]}: install "
            "a newer one and point JAVA_HOME at it"
        )


def require_server(host: str, port: int, what: str, setting: str) -> None:
    """See that a server listens; Spark itself would try for minutes.

    Raises:
        WarehouseError: it does not.
    """
    try:
        with socket.create_connection((host, port), timeout=_REACH_S):
            pass
    except OSError as error:
        why = error.strerror or str(error) or "no answer"
        raise WarehouseError(
            f"{what} at {host}:{port} was not reached ({why}): start it, or correct {setting}"
        ) from error


def session(key: object, make: Callable[[], tuple[Any, Any]]) -> Session:
    """The session of this process.

    Args:
        key: what it is made from; a session of another key is stopped first.
        make: makes pyspark's session, and Sail's server if there is one.
    """
    global _current  # noqa: PLW0603 - pyspark has one session in a process
    with _LOCK:
        if _current is not None and _current.key != key:
            stop()
        if _current is None:
            spark, server = make()
            _current = Session(key, spark, {}, server)
        return _current


def exclusive() -> AbstractContextManager[bool]:
    """Only one thread at a time; dbt connects from several."""
    return _LOCK


def started() -> Session | None:
    """The session of this process, if there is one."""
    return _current


def stop() -> None:
    """Stop the session, Sail's server, and Spark's Java process."""
    global _current
    with _LOCK:
        found, _current = _current, None
        if found is None:
            return
        own_builds.clear()
        with suppress(Exception):  # a server that is gone cannot be told goodbye
            found.spark.stop()
        if found.server is not None:
            found.server.stop()
        forget_variables(_CLIENT_OPTIONS)
        from pyspark import SparkContext

        inside: Any = SparkContext
        gateway = getattr(inside, "_gateway", None)
        if gateway is not None:
            with suppress(Exception):
                gateway.shutdown()
                gateway.proc.stdin.close()
                gateway.proc.wait(10)
            inside._gateway = inside._jvm = None  # noqa: SLF001 - the next one starts its own


atexit.register(stop)


def start_java(options: Mapping[str, str], log: Path) -> Any:
    """A session of Spark in this process, with its Java process.

    Args:
        options: of Spark.
        log: takes what the Java process writes, the logs of executors in this process among it.

    Raises:
        Exception: pyspark's; it cannot be started.
    """
    from pyspark import SparkConf, SparkContext
    from pyspark.java_gateway import launch_gateway
    from pyspark.sql import SparkSession

    forget_variables(_CLIENT_OPTIONS)
    conf = SparkConf(loadDefaults=False)
    for name, value in options.items():
        conf.set(name, value)
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("w", encoding="utf-8") as stream:
        # else its warnings are in the terminal, between the lines of the run
        launch: Any = launch_gateway
        gateway = launch(conf, popen_kwargs={"stdout": stream, "stderr": stream})
    inside: Any = SparkContext
    inside._ensure_initialized(gateway=gateway)  # noqa: SLF001
    builder: Any = SparkSession.builder
    for name, value in options.items():
        builder = builder.config(name, value)
    return builder.getOrCreate()


def connect(url: str, options: Mapping[str, str]) -> Any:
    """A session of a server that speaks Spark Connect.

    Args:
        url: ``sc://host:port``.
        options: of the session.

    Raises:
        Exception: pyspark's; it cannot be made.
    """
    from pyspark.sql import SparkSession
    from pyspark.sql.connect.client.retries import DefaultPolicy

    # dbt-spark asks for Hive with each connection, which a server that runs cannot give
    warnings.filterwarnings("ignore", "Failed to set spark.sql.catalogImplementation")
    builder: Any = SparkSession.builder
    builder = builder.config("spark.remote", url)
    for name, value in options.items():
        builder = builder.config(name, value)
    spark = builder.getOrCreate()
    # by default it asks a server that is gone for ten minutes
    spark.client.set_retry_policies([DefaultPolicy(max_retries=4)])
    return spark


_prepare: Callable[[], Session] | None = None


def before_dbt_connects(prepare: Callable[[], Session]) -> None:
    """Have something done before dbt-spark or dbt-sail opens a connection.

    Args:
        prepare: starts the session and registers the tables; called with each connection.
    """
    global _prepare  # noqa: PLW0603 - dbt has one profile at a time
    from dbt.adapters.spark.connections import SparkConnectionManager

    _prepare = prepare
    inside: Any = SparkConnectionManager
    if not hasattr(inside, "_headrace_open"):
        inside._headrace_open = inside.open  # noqa: SLF001
        inside.open = classmethod(_open)
    with suppress(ImportError):
        from dbt.adapters.sail.connections import SailConnectionManager

        inside = SailConnectionManager
        if "_headrace_open" not in vars(inside):
            inside._headrace_open = inside.open  # noqa: SLF001
            inside.open = classmethod(_open)


def _open(cls: Any, connection: Any) -> Any:
    if _prepare is not None:
        from dbt.adapters.exceptions.connection import FailedToConnectError

        try:
            found = _prepare()
        except WarehouseError as error:
            raise FailedToConnectError(str(error)) from error
        if found.server is not None:
            cls._server = found.server
    return cls._headrace_open(connection)
