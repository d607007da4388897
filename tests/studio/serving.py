"""A real server of the studio as a process of its own, for tests that need sockets."""

from __future__ import annotations

import http.client
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

TESTS = Path(__file__).parents[1]
CHILD = """
import sys
sys.path.insert(0, {tests!r})
from studio.fake_desk import gallery
from narrows.cli.app import _stop
from narrows.studio.addresses import Token
from narrows.studio import patience, server
import signal
signal.signal(signal.SIGTERM, _stop)
patience.PatientProtocol.patience = {patience}
server.serve(gallery({only!r}), Token({token!r}, {chosen}), port={port}, browser=False,
             say=lambda text: print(text, flush=True))
print("stopped", flush=True)
"""
TOKEN = "token-of-a-real-server-0123456789"  # noqa: S105  # opens nothing


@dataclass
class Server:
    """A running server: its printed line, its port, its process."""

    line: str
    port: int
    process: subprocess.Popen[str]
    log: Path

    def ask(
        self, path: str, method: str = "GET", body: Any = None, **headers: str
    ) -> tuple[int, dict[str, str], bytes]:
        """One request over a connection of its own."""
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=30)
        own = {"X-Narrows-Token": TOKEN}
        if body is not None:
            own |= {"Content-Type": "application/json", "Origin": f"http://127.0.0.1:{self.port}"}
        own |= {name.replace("_", "-"): value for name, value in headers.items()}
        text = None if body is None else json.dumps(body)
        try:
            connection.request(method, path, text, own)
            answer = connection.getresponse()
            names = {k.lower(): v for k, v in answer.getheaders()}
            return answer.status, names, answer.read()
        finally:
            connection.close()

    def stop(self, number: int = signal.SIGTERM) -> tuple[int, str]:
        """Its exit code and the rest of its output."""
        self.process.send_signal(number)
        out, _ = self.process.communicate(timeout=30)
        return self.process.returncode, out


@contextmanager
def served(
    folder: Path,
    only: tuple[str, ...] = ("digits",),
    port: int | None = None,
    patience: float = 10.0,
    chosen: bool = False,
    **environment: str,
) -> Iterator[Server]:
    """A server over pretended runs; its standard error goes to a file in `folder`."""
    code = CHILD.format(
        tests=str(TESTS), only=only, token=TOKEN, chosen=chosen, port=port, patience=patience
    )
    log = folder / "stderr"
    with log.open("w") as errors:
        process = subprocess.Popen(
            [sys.executable, "-c", code],
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
            env=os.environ | {"OMP_NUM_THREADS": "1"} | environment,
        )
    try:
        line = process.stdout.readline() if process.stdout else ""
        found = re.search(r":(\d+)/", line)
        assert found, log.read_text()
        yield Server(line.strip(), int(found[1]), process, log)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
        if process.stdout:
            process.stdout.close()
