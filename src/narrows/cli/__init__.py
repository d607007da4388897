"""The command line: one file for each small group of verbs.

Heavy packages are imported inside the commands, so that `narrows --help` answers at once.
"""

from narrows.cli import (  # noqa: F401  # importing a file adds its commands
    about,
    claims,
    embed,
    jobs,
    measure,
    measure_language,
    measure_layers,
    studio,
    train,
)
from narrows.cli.app import app, main

__all__ = ["app", "main"]
