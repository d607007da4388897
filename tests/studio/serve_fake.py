"""Serve the pretended runs, for work on the pages: python tests/studio/serve_fake.py --port 8700.

The front end's files are read anew for each request. The address with its token is printed.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

import uvicorn

from narrows.studio.app import STATIC, make_app, page_files
from studio.fake_desk import compare, gallery

TOKEN = "a-token-for-tests-of-the-pages"  # noqa: S105  # opens nothing but random numbers


class Fresh(Mapping[str, bytes]):
    """The front end's files as they are on disk now."""

    def __getitem__(self, name: str) -> bytes:
        return page_files(STATIC)[name]

    def __iter__(self) -> Iterator[str]:
        return iter(page_files(STATIC))

    def __len__(self) -> int:
        return len(page_files(STATIC))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--port", type=int, default=8700)
    port = parser.parse_args().port
    origins = [f"http://{host}:{port}" for host in ("127.0.0.1", "localhost")]
    app = make_app(gallery(), TOKEN, origins, pages=Fresh(), compare=compare)
    sys.stdout.write(f"http://127.0.0.1:{port}/#token={TOKEN}\n")
    sys.stdout.flush()
    uvicorn.run(app, port=port, log_level="warning", access_log=False)


if __name__ == "__main__":
    main()
