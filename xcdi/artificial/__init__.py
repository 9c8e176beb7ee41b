"""Simulated experiments whose truth is known, and the judge that compares results with it."""

from xcdi.artificial.experiment import simulate

__all__ = ["simulate"]
