"""Concepts read from a trained backbone: banks of hyperplanes, their units, head and edits."""
