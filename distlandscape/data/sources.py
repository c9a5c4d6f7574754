"""Where samples come from: a name and a path to arrays, then filter, permute, take, cut."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from distlandscape.data.blocks import BlockStore, Samples
from distlandscape.errors import InputError


def load_source(
    source: str = "digits",
    path: str | None = None,
    *,
    samples: int | None = None,
    classes: Sequence[int] | None = None,
    seed: int = 0,
    blocks: int | None = None,
) -> BlockStore:
    """Read a source and cut it into blocks, in an order that is a permutation seeded by ``seed``.

    ``classes`` keeps those classes and numbers them 0, 1, … in the order given; ``samples`` keeps the first so many
    after the permutation; ``blocks`` is the number of blocks (None: see ``default_blocks``).

    Raises:
        InputError: unknown source, unreadable file, unusable arrays, or more samples than there are.
    """
    if source not in SOURCES:
        raise InputError(f"unknown data.source {source!r}; known: {', '.join(sorted(SOURCES))}")
    x, y, description = SOURCES[source](path)
    if len(x) != len(y):
        raise InputError(f"x has {len(x)} samples and y has {len(y)}; give one target per sample")
    if classes is not None:
        x, y = _keep_classes(x, y, classes)
        description += f", classes {list(classes)} as 0…{len(classes) - 1}"
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(x))
    if samples is not None:
        if samples > len(x):
            raise InputError(f"data.samples={samples}, but the source holds {len(x)}; lower data.samples")
        order = order[:samples]
        description += f", {samples} samples"
    return BlockStore.from_arrays(x[order], y[order], blocks, f"{description}, permutation seed {seed}")


def _digits(path: str | None) -> tuple[Samples, Samples, str]:
    from sklearn.datasets import load_digits

    if path is not None:
        raise InputError("data.source=digits is bundled and takes no data.path; remove data.path")
    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    return images, y, "handwritten digits (scikit-learn), 1×8×8, grey levels divided by 16"


def _npz(path: str | None) -> tuple[Samples, Samples, str]:
    if path is None:
        raise InputError("data.source=npz needs data.path, a file with arrays x and y")
    file = Path(path)
    try:
        with file.open("rb") as stream:  # numpy leaves a file it opened open when it cannot read it
            archive = np.load(stream, allow_pickle=False)
            if not isinstance(archive, np.lib.npyio.NpzFile):
                raise InputError(f"{file} is a single array, not an npz archive; save arrays x and y with numpy.savez")
            missing = [name for name in ("x", "y") if name not in archive]
            if missing:
                raise InputError(f"{file} has no array {missing[0]!r} (it has {sorted(archive)}); save x and y")
            members: list[object] = [archive["x"], archive["y"]]
            x, y = (member for member in members if isinstance(member, np.ndarray))  # anything else comes as bytes
    except InputError:
        raise
    except FileNotFoundError:
        raise InputError(f"data.path {file} does not exist; give an npz file with arrays x and y") from None
    except PermissionError:
        raise InputError(f"data.path {file} may not be read; change its permissions or give another file") from None
    except Exception as error:  # zip, zlib and numpy each have their own ways to fail on a damaged or hostile file
        objects = str(error).startswith("Object arrays")
        reason = "it holds Python objects" if objects else "it is damaged or not an npz archive"
        raise InputError(f"cannot read {file}: {reason}; save plain numeric arrays with numpy.savez") from None
    if x.ndim < 1 or y.ndim < 1:
        raise InputError(f"x and y in {file} must be arrays with one row a sample, not {x.shape} and {y.shape}")
    return x, y, f"npz {file.name}"


def _keep_classes(x: Samples, y: Samples, classes: Sequence[int]) -> tuple[Samples, Samples]:
    if y.ndim != 1 or y.dtype.kind not in "iu":
        raise InputError("data.classes needs integer labels; remove it for real-valued targets")
    if len(set(classes)) != len(classes) or len(classes) < 2:
        raise InputError(f"data.classes={list(classes)} must name at least two different classes")
    absent = sorted(set(classes) - set(np.unique(y).tolist()))
    if absent:
        raise InputError(f"data.classes names {absent}, which no sample has; remove them")
    numbers = {label: number for number, label in enumerate(classes)}
    mine = np.isin(y, classes)
    return x[mine], np.array([numbers[label] for label in y[mine].tolist()], dtype=np.int64)


SOURCES = {"digits": _digits, "npz": _npz}
