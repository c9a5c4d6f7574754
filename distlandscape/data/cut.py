"""Where samples are cut into blocks: a function of N and B alone, never of the number of workers."""

from __future__ import annotations

from distlandscape.errors import InputError

DEFAULT_BLOCKS = 64
MIN_SAMPLES = 16  # per block, on average


def default_blocks(samples: int) -> int:
    """The largest power of two that is at most 64 and leaves blocks of 16 samples or more."""
    return 1 << max(0, min(DEFAULT_BLOCKS, samples // MIN_SAMPLES).bit_length() - 1)


def chosen_blocks(samples: int, blocks: int | None) -> int:
    """The number of blocks asked for, or the default.

    Raises:
        InputError: not a power of two, or too many for the samples.
    """
    if blocks is None:
        return default_blocks(samples)
    most = default_blocks(samples) if samples < DEFAULT_BLOCKS * MIN_SAMPLES else samples // MIN_SAMPLES
    if blocks < 1 or blocks & (blocks - 1):
        raise InputError(f"data.blocks={blocks} is not a power of two; choose 1, 2, 4, …")
    if blocks > most:
        raise InputError(f"data.blocks={blocks} is too many for {samples} samples; choose at most {most}")
    return blocks


def block_bounds(samples: int, blocks: int) -> list[int]:
    """B + 1 positions where the samples are cut; blocks differ by at most one sample."""
    return [index * samples // blocks for index in range(blocks + 1)]
