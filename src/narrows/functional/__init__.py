"""Stateless mathematics that several rooms share."""
