"""Where samples are cut into blocks: a function of N and B alone, never of the number of workers."""

from __future__ import annotations

from distlandscape.errors import InputError

DEFAULT_BLOCKS = 64
FEWEST_BLOCKS = 16  # by default, of few samples: enough to deal out evenly among some workers
GOOD_SAMPLES = 128  # per block: what a small net needs for torch's own cost of a call not to show
MIN_SAMPLES = 16  # per block, on average


def default_blocks(samples: int) -> int:
    """The largest power of two that is at most 64 and leaves blocks of 128 samples; up to 16 blocks, of 16."""
    most = max(min(DEFAULT_BLOCKS, samples // GOOD_SAMPLES), min(FEWEST_BLOCKS, samples // MIN_SAMPLES))
    return 1 << max(0, most.bit_length() - 1)


def most_blocks(samples: int) -> int:
    """The most that may be asked for."""
    return max(1, samples // MIN_SAMPLES)


def chosen_blocks(samples: int, blocks: int | None) -> int:
    """The number of blocks asked for, or the default.

    Raises:
        InputError: not a power of two, or too many for the samples.
    """
    if blocks is None:
        return default_blocks(samples)
    most = most_blocks(samples)
    if blocks < 1 or blocks & (blocks - 1):
        raise InputError(f"data.blocks={blocks} is not a power of two; choose 1, 2, 4, …")
    if blocks > most:
        raise InputError(f"data.blocks={blocks} is too many for {samples} samples; choose at most {most}")
    return blocks


def block_bounds(samples: int, blocks: int) -> list[int]:
    """B + 1 positions where the samples are cut; blocks differ by at most one sample."""
    return [index * samples // blocks for index in range(blocks + 1)]
