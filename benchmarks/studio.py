"""The studio's answers over the wire: 112 concepts, 200 classes, 10,000 test rows, a linear head.

A real server (`narrows.studio.server`) in a process of its own, asked over sockets:

- `one person`: corrections one after another, each of another unit of another row;
- `20 people at once`: 20 connections that correct at the same moment, again and again;
- `20 people without a pause`: 20 connections, each sending its next correction at once;
- `first page`: on a new connection the page, its files, the run, the first 100 of 10,000 cases
  and the first case, one after another;
- `health among 1,000 connections` that have sent half a request each, and the server's memory.

Every correction is written to the journal (SQLite, synchronous=FULL) before it is answered. Before
anything is timed a correction must be what the case shows afterwards, and must have been undone
without a trace. Seconds are the client's. Run with the machine otherwise idle:

    python benchmarks/studio.py [repeats]
"""

from __future__ import annotations

import asyncio
import json
import os
import re
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from _timing import report

import narrows as nw
from narrows.data import Concepts, Dataset, Examples
from narrows.runs import fit_run
from narrows.studio.addresses import Token
from narrows.studio.app import page_files
from narrows.studio.desk import Desk
from narrows.studio.server import serve

CONCEPTS, CLASSES, ROWS, PEOPLE = 112, 200, 10_000, 20
TOKEN = "token-of-the-benchmark-0123456789"  # noqa: S105  # opens random numbers
RUN = "/api/runs/large"


def task() -> Dataset:
    """Classes with a pattern of concepts each, concepts seen through noise."""
    pattern = (torch.rand(CLASSES, CONCEPTS, generator=_generator(0)) < 0.3).float()
    names = tuple(f"concept {j}" for j in range(CONCEPTS))
    labels = tuple(f"class {i:03d}" for i in range(CLASSES))

    def split(rows: int, seed: int) -> Examples:
        y = torch.arange(rows) % CLASSES
        noise = torch.randn(rows, CONCEPTS, generator=_generator(seed))
        return Examples(2 * pattern[y] - 1 + 1.5 * noise, y, pattern[y], labels, Concepts(names))

    return Dataset("large", split(2000, 1), split(400, 2), split(ROWS, 3))


def _generator(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def child(folder: str) -> None:
    """Train, open, serve."""
    data = task()
    fit_run(nw.CBM(mode="independent", encoder="identity", epochs=3), data, folder)
    desk = Desk(folder, data=data)
    desk.id = "large"
    desk.warm()
    serve({"large": desk}, Token(TOKEN, chosen=False), browser=False, say=_say)


def _say(line: str) -> None:
    print(line, flush=True)


class Person:
    """One connection that is kept."""

    def __init__(self, port: int) -> None:
        self.port = port

    async def __aenter__(self) -> Person:
        self.reader, self.writer = await asyncio.open_connection("127.0.0.1", self.port)
        return self

    async def __aexit__(self, *error: object) -> None:
        self.writer.close()
        await self.writer.wait_closed()

    async def ask(self, path: str, body: Any = None) -> tuple[bytes, float]:
        """An answer and the seconds it took."""
        head = [
            f"{'GET' if body is None else 'POST'} {path} HTTP/1.1",
            f"Host: 127.0.0.1:{self.port}",
            f"X-Narrows-Token: {TOKEN}",
        ]
        content = b"" if body is None else json.dumps(body).encode()
        if body is not None:
            head += [f"Origin: http://127.0.0.1:{self.port}", "Content-Type: application/json"]
            head += [f"Content-Length: {len(content)}"]
        start = time.perf_counter()
        self.writer.write("\r\n".join([*head, "", ""]).encode() + content)
        lines = await self.reader.readuntil(b"\r\n\r\n")
        length = re.search(rb"content-length: (\d+)", lines)
        answer = await self.reader.readexactly(int(length[1]) if length else 0)
        seconds = time.perf_counter() - start
        assert lines.startswith(b"HTTP/1.1 200"), lines + answer
        return answer, seconds

    async def correct(self, number: int) -> float:
        """Correct a unit that no number before it corrected."""
        row, unit = divmod(number * 7919 % (ROWS * CONCEPTS), CONCEPTS)
        body = {"known": {f"concept {unit}": float(number % 2)}}
        _, seconds = await self.ask(f"{RUN}/cases/test/{row}/corrections", body)
        return seconds


async def check(port: int) -> None:
    """A correction is what the case shows afterwards, and can be undone without a trace."""
    async with Person(port) as one:
        place = f"{RUN}/cases/test/17"
        before = json.loads((await one.ask(place))[0])
        unit = before["units"][0]
        body = {"known": {unit["name"]: float(unit["now"] < 0.5)}}
        done = json.loads((await one.ask(f"{place}/corrections", body))[0])
        shown = json.loads((await one.ask(place))[0])
        assert done["now"] == shown["now"] != before["now"]
        await one.ask(f"{RUN}/undo", {})
        after = json.loads((await one.ask(place))[0])
        assert (after["now"], after["units"]) == (before["now"], before["units"])


async def alone(port: int, repeats: int) -> list[float]:
    async with Person(port) as one:
        return [await one.correct(i) for i in range(repeats)]


async def together(port: int, rounds: int, pause: bool) -> list[float]:
    """Twenty people: all at the same moment and then a pause, or each as fast as answers come."""
    people = [await Person(port).__aenter__() for _ in range(PEOPLE)]
    try:
        if pause:
            seconds: list[float] = []
            for turn in range(rounds):
                numbers = (10_000 + turn * PEOPLE + i for i in range(PEOPLE))
                seconds += await asyncio.gather(
                    *(p.correct(n) for p, n in zip(people, numbers, strict=True))
                )
                await asyncio.sleep(0.1)
            return seconds

        async def going(person: Person, first: int) -> list[float]:
            return [await person.correct(first + i) for i in range(rounds)]

        all_seconds = await asyncio.gather(
            *(going(p, 100_000 + 10_000 * i) for i, p in enumerate(people))
        )
        return [s for own in all_seconds for s in own]
    finally:
        for person in people:
            await person.__aexit__()


async def first_page(port: int) -> float:
    start = time.perf_counter()
    async with Person(port) as one:
        for path in ("/", *(f"/static/{name}" for name in page_files())):
            await one.ask(path)
        for path in ("/api/runs", RUN):
            await one.ask(path)
        cases = json.loads((await one.ask(f"{RUN}/cases?limit=100"))[0])
        assert cases["total"] == ROWS
        await one.ask(f"{RUN}/cases/test/{cases['cases'][0]['row']}")
    return time.perf_counter() - start


async def crowded(port: int, process: int, repeats: int) -> tuple[list[float], float | None]:
    """Seconds of /health while a thousand half requests are open, and megabytes of the server."""
    half = f"POST /api/runs HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nX: ".encode()
    writers = []
    for _ in range(1000):
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(half)
        writers.append(writer)
    async with Person(port) as one:
        seconds = [(await one.ask("/health"))[1] for _ in range(repeats)]
    memory = _memory(process)
    for writer in writers:
        writer.close()
    return seconds, memory


def _memory(process: int) -> float | None:
    status = Path(f"/proc/{process}/status")
    if not status.exists():
        return None
    line = next(x for x in status.read_text().splitlines() if x.startswith("VmRSS"))
    return int(line.split()[1]) / 1000


def _worked(process: int) -> float:
    """Processor seconds of the server so far; NaN where the system does not tell."""
    stat = Path(f"/proc/{process}/stat")
    if not stat.exists():
        return float("nan")
    fields = stat.read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def milliseconds(seconds: Sequence[float]) -> dict[str, float]:
    ordered = sorted(1000 * s for s in seconds)
    at = {"median": 0.5, "p95": 0.95, "p99": 0.99}
    found = {name: ordered[min(len(ordered) - 1, int(q * len(ordered)))] for name, q in at.items()}
    return {name: round(v, 2) for name, v in {**found, "most": ordered[-1]}.items()} | {
        "count": len(ordered)
    }


def measured(port: int, process: int, repeats: int) -> dict[str, Any]:
    asyncio.run(check(port))
    asyncio.run(alone(port, 20))  # warms up
    result: dict[str, Any] = {"load average before": os.getloadavg()[0]}
    before = _worked(process)
    result["one person, ms"] = milliseconds(asyncio.run(alone(port, repeats)))
    result["server's processor, ms a correction"] = 1000 * (_worked(process) - before) / repeats
    at_once = asyncio.run(together(port, repeats // PEOPLE, pause=True))
    result["20 people at once, ms"] = milliseconds(at_once)
    going = asyncio.run(together(port, repeats // PEOPLE, pause=False))
    result["20 people without a pause, ms"] = milliseconds(going)
    pages = [asyncio.run(first_page(port)) for _ in range(9)]
    result["first page of 10,000 cases, ms"] = milliseconds(pages)
    health, memory = asyncio.run(crowded(port, process, 100))
    result["health among 1,000 connections, ms"] = milliseconds(health)
    result["server's memory then, MB"] = memory
    return result


def main(repeats: int) -> None:
    import resource

    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(max(soft, 1200), hard), hard))
    with tempfile.TemporaryDirectory() as folder:
        process = subprocess.Popen(
            [sys.executable, __file__, "--serve", f"{folder}/run"],
            stdout=subprocess.PIPE,
            text=True,
        )
        try:
            line = process.stdout.readline() if process.stdout else ""
            found = re.search(r":(\d+)/", line)
            assert found, f"the server said {line!r}, no address"
            port = int(found[1])
            result = measured(port, process.pid, repeats)
        finally:
            process.terminate()
            process.wait()
    sizes = {"concepts": CONCEPTS, "classes": CLASSES, "rows": ROWS, "people": PEOPLE}
    report("studio", sizes | result)


if __name__ == "__main__":
    if sys.argv[1:2] == ["--serve"]:
        child(sys.argv[2])
    else:
        main(int(sys.argv[1]) if len(sys.argv) > 1 else 400)
