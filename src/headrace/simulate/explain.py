"""Each stage in plain words: what was done, and what it would have cost in the cloud.

``explanations.yml`` has the rest: why one does it, what it would be there, what goes wrong.
"""

from collections.abc import Callable, Mapping
from functools import cache
from importlib import resources
from typing import Any

from headrace.formatting import count, in_bytes
from headrace.settings.simulation import PriceSettings, SimulateSettings
from headrace.simulate.reports import CostLine, Explanation, StageName, StageReport

_GB = 1_000_000_000
_LEAST_S = 60
"""Snowflake's and Redshift Serverless' least time of a resumed warehouse, in seconds."""


def explained(report: StageReport, settings: SimulateSettings) -> Explanation:
    """A stage that has run, in words and with what it would have cost."""
    done, cost = _STAGES[report.stage]
    return Explanation(
        done=done(report),
        cost=(*_requests(report, settings.prices), *cost(report, settings.prices)),
        **_texts()[report.stage],
    )


def _requests(report: StageReport, prices: PriceSettings) -> list[CostLine]:
    if not report.requests:
        return [
            CostLine(
                what="requests to S3", dollars=None,
                formula="not counted: the bucket is not the stand-in's; its bill has them",
            )
        ]  # fmt: skip
    writes, reads = report.requests.get("write", 0), report.requests.get("read", 0)
    return [
        CostLine(
            what="requests to S3",
            formula=f"{writes:,} writes and listings / 1,000 x ${prices.s3_writes} + {reads:,} "
            f"reads / 1,000 x ${prices.s3_reads}",
            dollars=writes / 1000 * prices.s3_writes + reads / 1000 * prices.s3_reads,
        )
    ]


def _storage(report: StageReport, prices: PriceSettings) -> list[CostLine]:
    stored = sum(table.bytes for table in report.tables)
    return [
        CostLine(
            what="storage for a month",
            formula=f"{in_bytes(stored)} = {stored / _GB:.6f} GB x ${prices.s3_gb_month}",
            dollars=stored / _GB * prices.s3_gb_month,
        )
    ]


def _spark(report: StageReport, prices: PriceSettings) -> list[CostLine]:
    seconds = max(_LEAST_S, report.seconds) if report.changed else 0
    return [
        *_storage(report, prices),
        CostLine(
            what="a Spark job",
            formula=f"max(60 s, {report.seconds:.1f} s measured here) / 3,600 x "
            f"{prices.spark_units} units x ${prices.spark_hour}"
            if report.changed
            else "nothing had changed: the job would not have been started",
            dollars=seconds / 3600 * prices.spark_units * prices.spark_hour,
        ),
    ]


def _snowflake(report: StageReport, prices: PriceSettings) -> list[CostLine]:
    seconds = max(_LEAST_S, report.seconds)
    taken = seconds / 3600 * prices.snowflake_credits_hour
    found = [
        CostLine(
            what="a warehouse of Snowflake",
            formula=f"max(60 s, {report.seconds:.1f} s measured here) / 3,600 x "
            f"{prices.snowflake_credits_hour:g} credits an hour = {taken:.4f} credits x "
            f"${prices.snowflake_credit:g}",
            dollars=taken * prices.snowflake_credit,
        )
    ]
    if report.stage == "snowflake-copy":
        size = report.bytes_read / _GB
        piped = size * prices.snowpipe_credits_gb
        found.append(
            CostLine(
                what="or Snowpipe instead",
                formula=f"{size:.6f} GB x {prices.snowpipe_credits_gb} credits = {piped:.8f} "
                f"credits x ${prices.snowflake_credit:g}",
                dollars=piped * prices.snowflake_credit,
            )
        )
    return found


def _redshift(report: StageReport, prices: PriceSettings) -> list[CostLine]:
    seconds = max(_LEAST_S, report.seconds)
    return [
        CostLine(
            what="Redshift Serverless",
            formula=f"max(60 s, {report.seconds:.1f} s measured here) / 3,600 x "
            f"{prices.redshift_rpus} RPUs x ${prices.redshift_rpu_hour}",
            dollars=seconds / 3600 * prices.redshift_rpus * prices.redshift_rpu_hour,
        )
    ]


def _wrote(report: StageReport) -> str:
    new = [table for table in report.tables if table.new_files or table.new_rows]
    files, rows = sum(one.new_files for one in new), sum(one.new_rows for one in new)
    all_bytes = sum(table.bytes for table in report.tables)
    have = f"; they have {in_bytes(all_bytes)} now" if all_bytes else ""
    tables = count(len(report.tables), "table")
    if not new:
        return f"nothing, as all {tables} are current{have}."
    written = f"{count(files, 'file')} with " if files else ""
    return f"{written}{count(rows, 'row')}, in {len(new)} of {tables}{have}."


def _bronze_done(report: StageReport) -> str:
    return f"dlt loaded the sources, and what had changed was written to S3: {_wrote(report)}"


def _silver_done(report: StageReport) -> str:
    return f"The newest row of each key was written as Delta tables: {_wrote(report)}"


def _gold_done(report: StageReport) -> str:
    return f"dbt built and tested the marts from silver, and published: {_wrote(report)}"


def _copy_done(report: StageReport) -> str:
    files = sum(table.new_files for table in report.tables)
    rows = sum(table.new_rows for table in report.tables)
    if not files:
        return "COPY looked at all files of bronze: each was loaded before, so nothing was done."
    return (
        f"COPY loaded {count(files, 'file')} ({in_bytes(report.bytes_read)}, {count(rows, 'row')}) "
        "into landing tables; raw tables were made of the newest row of each key."
    )


def _dbt_done(report: StageReport) -> str:
    return f"dbt built and tested the models in the warehouse, and published: {_wrote(report)}"


@cache
def _texts() -> dict[str, dict[str, Any]]:
    from ruamel.yaml import YAML

    text = resources.files("headrace.simulate").joinpath("explanations.yml").read_text("utf-8")
    found: dict[str, dict[str, Any]] = YAML(typ="safe", pure=True).load(text)
    return found


_Costs = Callable[[StageReport, PriceSettings], list[CostLine]]
_STAGES: Mapping[StageName, tuple[Callable[[StageReport], str], _Costs]] = {
    "bronze": (_bronze_done, _storage),
    "silver": (_silver_done, _spark),
    "gold": (_gold_done, _spark),
    "snowflake-copy": (_copy_done, _snowflake),
    "snowflake-dbt": (_dbt_done, _snowflake),
    "redshift-copy": (_copy_done, _redshift),
    "redshift-dbt": (_dbt_done, _redshift),
}
