"""The table of mechanisms that every test of them reads: a row a mechanism, in the file of its group."""

from mechanisms import both, channel, dot_product, replacing, spatial
from mechanisms.table import CASES, fitted

__all__ = ["CASES", "both", "channel", "dot_product", "fitted", "replacing", "spatial"]
