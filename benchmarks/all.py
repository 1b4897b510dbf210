"""Every benchmark, one after the other; the tables and their JSON go to `--out` (a folder)."""

from collections.abc import Callable
from pathlib import Path

from benchmarks import load_files, merge, second_run
from benchmarks.report import Report, parser, work_dir


def main() -> None:
    """Measure, print all tables."""
    options = parser(__doc__)
    load_files.add_options(options)
    options.add_argument(
        "--merge-rows", type=float, nargs="+", default=[10], metavar="M", help="millions of rows"
    )
    options.add_argument("--changes", type=int, default=10_000, help="rows that change")
    chosen = options.parse_args()
    out: Path | None = chosen.out
    with work_dir(chosen.work_dir) as work:
        reports: tuple[Callable[[], Report], ...] = (
            lambda: second_run.measure(work, runs=chosen.runs),
            lambda: merge.measure(
                work,
                sizes=[int(millions * 1e6) for millions in chosen.merge_rows],
                changes=chosen.changes,
                runs=chosen.runs,
            ),
            lambda: load_files.measure(
                work,
                sizes=[int(millions * 1e6) for millions in chosen.rows],
                forms=chosen.formats,
                runs=chosen.runs,
                memory_limit=chosen.memory_limit,
                defaults_too=not chosen.no_defaults,
            ),
        )
        for make in reports:
            report = make()
            report.finish(out / f"{report.name}.json" if out else None)
            print(flush=True)


if __name__ == "__main__":
    main()
