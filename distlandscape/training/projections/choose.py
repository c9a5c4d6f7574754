"""A projection by the name of its kind, or by a rule."""

from __future__ import annotations

from collections.abc import Callable

from distlandscape.errors import InputError
from distlandscape.training.projections.base import Projection, check_dim
from distlandscape.training.projections.dense import MEMORY, Dense
from distlandscape.training.projections.fastfood import Fastfood
from distlandscape.training.projections.orthogonal import Cosine, Hadamard
from distlandscape.training.projections.sparse import Hashed, Sparse

KINDS = ("dense", "sparse", "hashed", "fastfood", "cosine", "hadamard")
SMALL = 32  # dimension up to which a dense plane takes less time than Fastfood, on a CPU
FASTFOOD_BYTES = 9  # a parameter: signs, normals, permutation


def choose_kind(parameters: int, dim: int, memory: int = MEMORY) -> tuple[str, str]:
    """The kind for P, d and the bytes a plane may take, and why, in a sentence.

    Raises:
        InputError: d is not between 1 and P.
    """
    check_dim(parameters, dim)
    if dim <= SMALL and 4 * parameters * dim <= memory:
        return "dense", f"dense: up to d = {SMALL} its matrix is the fastest"
    if 2 * dim > parameters:
        return (
            "hashed",
            "hashed: d is above P/2, where blocks of Fastfood are cut off, and hashed planes are orthonormal",
        )
    if FASTFOOD_BYTES * parameters > memory:
        return "hashed", f"hashed: Fastfood takes {FASTFOOD_BYTES * parameters:,} bytes, more than the {memory:,} given"
    return "fastfood", f"fastfood: a dense plane has {parameters * dim:,} entries, Fastfood costs P log d"


def make_projection(kind: str, parameters: int, dim: int, seed: int, memory: int = MEMORY) -> Projection:
    """The plane of a kind of ``KINDS``, or of "auto" (see ``choose_kind``), a function of kind, P, d and seed alone.

    Args:
        kind: name of the construction.
        parameters: P.
        dim: d.
        seed: of everything random in it.
        memory: bytes beyond which a dense or sparse plane is made anew in every product; the same bits either way.

    Raises:
        InputError: unknown kind, or d is not between 1 and P.
    """
    makers: dict[str, Callable[[], Projection]] = {
        "dense": lambda: Dense(parameters, dim, seed, memory),
        "sparse": lambda: Sparse(parameters, dim, seed, memory),
        "hashed": lambda: Hashed(parameters, dim, seed),
        "fastfood": lambda: Fastfood(parameters, dim, seed),
        "cosine": lambda: Cosine(parameters, dim, seed),
        "hadamard": lambda: Hadamard(parameters, dim, seed),
    }
    if kind == "auto":
        kind, _ = choose_kind(parameters, dim, memory)
    if kind not in makers:
        raise InputError(f"projection kind {kind!r} is unknown; known: auto, {', '.join(KINDS)}")
    return makers[kind]()
