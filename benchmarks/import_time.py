"""`import narrows` beyond `import torch`: fresh processes in turns. Target: at most 0.5 s.

python benchmarks/import_time.py
"""

from __future__ import annotations

import subprocess
import sys

from _timing import in_turns, report

REPEATS = 9


def run(code: str) -> None:
    subprocess.run([sys.executable, "-c", code], check=True)


def main() -> None:
    seconds = in_turns(
        {
            "torch, numpy": lambda: run("import torch, numpy"),
            "narrows": lambda: run("import torch, numpy, narrows"),
        },
        REPEATS,
    )
    extra = seconds["narrows"]["median"] - seconds["torch, numpy"]["median"]
    report(
        "import_time",
        {"runs": REPEATS, "seconds": seconds, "beyond torch": extra, "target": "at most 0.5 s"},
    )


if __name__ == "__main__":
    main()
