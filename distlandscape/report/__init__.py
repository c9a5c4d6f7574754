"""Reads run directories only; makes figures and one self-contained page."""

from distlandscape.report.make import make_comparison, make_report

__all__ = ["make_comparison", "make_report"]
