"""Data sets that are generated, from formulas or from real digits."""
