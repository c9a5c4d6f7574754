"""Samples on disk and in memory: the Arrow block store and the sources that fill it."""

from distlandscape.data.blocks import BlockStore, default_blocks
from distlandscape.data.scaling import Scaling
from distlandscape.data.sources import load_source
from distlandscape.data.splits import has_test_split

__all__ = ["BlockStore", "Scaling", "default_blocks", "has_test_split", "load_source"]
