"""Excel files: a sheet as CSV, its values written as DuckDB reads them."""

import csv
from dataclasses import replace
from datetime import date, datetime, time, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from headrace.errors import SourceError, UnclearFileError
from headrace.formatting import first_few
from headrace.ingest.discover import SourceFile
from headrace.ingest.model import FileTable
from headrace.ingest.reader import scratch_file

if TYPE_CHECKING:
    from python_calamine import CalamineSheet

Cell = int | float | str | bool | time | date | datetime | timedelta


def sheet_as_csv(file: SourceFile, table: FileTable, scratch: Path) -> SourceFile:
    """A sheet as a CSV file in UTF-8.

    Excel knows numbers, texts, booleans and times. A number that is whole is written without a
    fraction, as Excel shows it; a time in ISO form.

    Args:
        file: the workbook.
        table: names the sheet, where there are several.
        scratch: where the CSV file is written.

    Raises:
        SourceError: it is no workbook, has a password, or several sheets of which none is named.
    """
    from python_calamine import CalamineError, CalamineWorkbook

    try:
        with CalamineWorkbook.from_path(file.path) as workbook:
            target = scratch_file(file, scratch, ".csv")
            _write(workbook.get_sheet_by_name(_sheet(workbook.sheet_names, file, table)), target)
    except CalamineError as error:
        raise SourceError(
            f"{file.name} cannot be read as a workbook: {error}; save it again as .xlsx, without a "
            "password"
        ) from error
    return replace(file, path=target)


def _sheet(names: list[str], file: SourceFile, table: FileTable) -> str:
    if table.sheet is not None and table.sheet not in names:
        raise SourceError(
            f"{file.name} has no sheet {table.sheet!r}: set `sheet` of its table to one of "
            f"{first_few(names, 10)}"
        )
    if table.sheet is None and len(names) != 1:
        raise UnclearFileError(
            f"{file.name} has {len(names)} sheets: set `sheet` of its table to one of "
            f"{first_few(names, 10)}; each can be a table of its own",
            {"sheet": names[0]} if names else {},
        )
    return table.sheet or names[0]


def _write(sheet: "CalamineSheet", target: Path) -> None:
    with target.open("w", encoding="utf-8", newline="") as stream:
        writer = csv.writer(stream, lineterminator="\n")
        for row in sheet.iter_rows():
            cells = [_text(cell) for cell in row]
            if any(cells):
                writer.writerow(cells)


def _text(cell: Cell) -> str:
    match cell:
        case bool():
            return str(cell).lower()
        case float() if cell.is_integer() and abs(cell) < 1e15:
            return str(int(cell))
        case datetime():
            return cell.isoformat(sep=" ")
        case timedelta():
            return str(cell)
        case date() | time():
            return cell.isoformat()
        case _:
            return str(cell)
