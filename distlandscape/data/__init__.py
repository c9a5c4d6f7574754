"""Samples on disk and in memory: the Arrow block store and the sources that fill it."""

from distlandscape.data.blocks import BlockStore, default_blocks
from distlandscape.data.request import NoTestSplit
from distlandscape.data.scaling import Scaling
from distlandscape.data.sources import load_source

__all__ = ["BlockStore", "NoTestSplit", "Scaling", "default_blocks", "load_source"]
