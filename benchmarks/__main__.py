"""The benchmarks whose tables stand in the docs, one after the other, each in a process of its own.

Tables and their JSON go to `--out`, a folder; a benchmark that fails does not stop the others.
"""

import argparse
import re
import subprocess
import sys
from pathlib import Path

from benchmarks.measure import ROOT, environment, python

BENCHMARKS = (
    "jaffle_shop",
    "merge",
    "large_day",
    "load_files",
    "detection",
    "profile",
    "generate",
    "artifacts",
    "server",
    "page",
)
"""Modules that need nothing but this repository.

`diff`, `lineage` and `learned_data` need other packages, which the README names.
"""


DOCS = ROOT / "docs" / "explanation" / "how-fast.md"
_TABLE = re.compile(r"(?s)(<!-- table of benchmarks\.(\w+) -->\n).*?(<!-- end of table -->)")


def write_tables(page: Path, out: Path) -> None:
    """Replace the tables of a page by those that were measured; the others stay.

    Args:
        page: with `<!-- table of benchmarks.NAME -->` before a table and an end after it.
        out: the folder of `NAME.md`.
    """

    def table(found: re.Match[str]) -> str:
        measured = out / f"{found[2]}.md"
        if not measured.is_file():
            return found[0]
        text = measured.read_text("utf-8").split("\n", 2)[2].strip()  # without its heading
        return f"{found[1]}{text}\n{found[3]}"

    page.write_text(_TABLE.sub(table, page.read_text("utf-8")), "utf-8")


def main() -> None:
    """Run the chosen ones; exit 1 where one failed."""
    options = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    options.add_argument("--only", nargs="+", choices=BENCHMARKS, default=BENCHMARKS)
    options.add_argument("--runs", type=int, help="rounds of each case; by default each its own")
    options.add_argument("--out", type=Path, required=True, help="the folder of the tables")
    options.add_argument("--work-dir", type=Path, help="keep generated data here")
    options.add_argument(
        "--docs", action="store_true", help=f"write the tables to {DOCS.relative_to(ROOT)}, too"
    )
    for peer in ("sqlmesh", "dango"):
        options.add_argument(f"--{peer}", type=Path, help="its command, for `jaffle_shop`")
    chosen = options.parse_args()
    out: Path = chosen.out.resolve()
    shared = ["--work-dir", str(chosen.work_dir.resolve())] if chosen.work_dir else []
    rounds = ["--runs", str(chosen.runs)] if chosen.runs else []
    failed = []
    for name in chosen.only:
        module = f"benchmarks.{name}"
        # the server's `--runs` are those of the project that it serves
        more = [*shared, *(rounds if name != "server" else ())]
        if name == "jaffle_shop":
            for peer in ("sqlmesh", "dango"):
                if program := getattr(chosen, peer):
                    more += [f"--{peer}", str(program.absolute())]
        command = python("-m", module, *more, "--out", out / f"{name}.json")
        if subprocess.run(command, cwd=ROOT, env=environment(), check=False).returncode:
            failed.append(name)
    if chosen.docs:
        write_tables(DOCS, out)
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
        sys.exit(1)


if __name__ == "__main__":
    main()
