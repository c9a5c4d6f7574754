"""Tiny data sets in every format, and what a store of them should hold."""

from __future__ import annotations

import gzip
import io

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image

N, N_TEST = 53, 37  # uneven on purpose


def whole(store):
    """All samples and targets of a store."""
    parts = [store.block(index) for index in range(store.blocks)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def drawn(x, y, seed=0, samples=None):
    """Samples and targets in the order of the permutation that a seed stands for."""
    order = np.random.Generator(np.random.Philox(seed)).permutation(len(x))[:samples]
    return x[order], y[order]


def same(store, x, y):
    """Whether a store holds these samples in this order, bit for bit and of the same type."""
    got_x, got_y = whole(store)
    return all(
        (a.dtype, a.shape, a.tobytes()) == (b.dtype, b.shape, b.tobytes())
        for a, b in ((got_x, x), (got_y, y.astype(np.int64) if y.ndim == 1 and y.dtype.kind in "iu" else y))
    )


def arrays(n=N, shape=(1, 4, 5), classes=7, seed=0):
    """Random bytes with labels of all classes."""
    return np.random.default_rng(seed).integers(0, 256, (n, *shape), dtype=np.uint8), np.arange(n) % classes


def idx_bytes(array):
    """An IDX file of bytes."""
    sizes = [0x800 + array.ndim, *array.shape]
    return np.array(sizes, ">u4").tobytes() + array.astype(np.uint8).tobytes()


def idx_folder(folder, images, labels, split="train", compress=False):
    """MNIST-like files; images are (N, 1, H, W)."""
    folder.mkdir(exist_ok=True)
    stem = {"train": "train", "test": "t10k"}[split]
    for kind, content in (("images-idx3", images[:, 0]), ("labels-idx1", labels)):
        file = folder / f"{stem}-{kind}-ubyte{'.gz' if compress else ''}"
        file.write_bytes(gzip.compress(idx_bytes(content)) if compress else idx_bytes(content))
    return folder


def cifar_folder(folder, form, x, y, split="train"):
    """Binary CIFAR files of records; the coarse labels of CIFAR-100 are all 99."""
    folder.mkdir(exist_ok=True)
    labels = y[:, None].astype(np.uint8)
    if form == "cifar100":
        labels = np.concatenate([np.full_like(labels, 99), labels], axis=1)
    records = np.concatenate([labels, x.reshape(len(x), -1)], axis=1)
    if form == "cifar100":
        (folder / f"{split}.bin").write_bytes(records.tobytes())
    elif split == "test":
        (folder / "test_batch.bin").write_bytes(records.tobytes())
    else:
        for number, part in enumerate(np.array_split(records, 5), 1):
            (folder / f"data_batch_{number}.bin").write_bytes(part.tobytes())
    return folder


def picture(pixels, form="PNG"):
    """An encoded image of pixels (C, H, W)."""
    buffer = io.BytesIO()
    Image.fromarray(pixels[0] if len(pixels) == 1 else pixels.transpose(1, 2, 0)).save(buffer, form)
    return buffer.getvalue()


def image_folder(folder, x, y, names):
    """folder/CLASS/number.png; returns the order in which they are numbered: by class, then by name."""
    for index, (pixels, label) in enumerate(zip(x, y, strict=True)):
        place = folder / names[label]
        place.mkdir(parents=True, exist_ok=True)
        (place / f"{index:04}.png").write_bytes(picture(pixels))
    return np.argsort(y, kind="stable")


def parquet(path, groups=10, **columns):
    """A Parquet file in row groups of a few rows."""
    path.parent.mkdir(exist_ok=True)
    pq.write_table(pa.table(columns), path, row_group_size=groups)
    return path


def lists(x):
    """Rows as a column of lists."""
    return pa.array(list(x.reshape(len(x), -1)))


def fixed_lists(x):
    """Rows as a column of lists of one length."""
    return pa.FixedSizeListArray.from_arrays(pa.array(x.reshape(-1)), x[0].size)


def hugging_face(x):
    """Rows as a column of encoded images, as Hugging Face stores them."""
    return pa.array([{"bytes": picture(pixels), "path": f"{i}.png"} for i, pixels in enumerate(x)])
