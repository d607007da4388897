"""Every paper in the library is held to its word: its claims, measured, with a verdict.

One file a paper: `PAPER`, `CLAIMS` and `run(size, seeds)`.
"""
