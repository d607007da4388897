"""Reports: self-contained pages that open offline, without scripts."""

from narrows.report.environment import environment
from narrows.report.measured import measure_run
from narrows.report.readings import readings_of, write_csv, write_parquet
from narrows.report.run_page import write_run
from narrows.report.table_page import NEXT, write_demo, write_plane, write_table

__all__ = [
    "NEXT",
    "environment",
    "measure_run",
    "readings_of",
    "write_csv",
    "write_demo",
    "write_parquet",
    "write_plane",
    "write_run",
    "write_table",
]
