"""Samples on disk and in memory: the Arrow block store and the sources that fill it."""

from distlandscape.data.blocks import BlockStore, default_blocks
from distlandscape.data.sources import load_source

__all__ = ["BlockStore", "default_blocks", "load_source"]
