"""Every source comes back bit for bit, in the order of its permutation, and streamed as in one piece."""

from __future__ import annotations

import contextlib

import numpy as np
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from distlandscape.data import BlockStore, gather, load_source, source
from distlandscape.data.cut import block_bounds, chosen_blocks
from distlandscape.data.idx import FASHION_MNIST
from distlandscape.data.source import Streamed
from distlandscape.data.writer import silent
from distlandscape.errors import InputError
from tests.data import fabricate as make

X, Y = make.arrays()
X_TEST, Y_TEST = make.arrays(make.N_TEST, seed=1)
PHOTOS, KINDS = make.arrays(shape=(3, 32, 32))
PHOTOS_TEST, KINDS_TEST = make.arrays(make.N_TEST, (3, 32, 32), seed=1)
REALS = np.random.default_rng(2).standard_normal((make.N, 6))
NAMES = ["ant", "Bee", "cat", "dog", "eel", "fox", "gnu"]


def idx(tmp_path, compress=False):
    folder = make.idx_folder(tmp_path / "idx", X, Y, compress=compress)
    return {"path": make.idx_folder(folder, X_TEST, Y_TEST, "test", compress)}, (X, Y), (X_TEST, Y_TEST)


def npz(tmp_path, save=np.savez):
    save(tmp_path / "a.npz", x=REALS, y=Y, x_test=REALS[:20], y_test=Y[:20])
    return {"path": tmp_path / "a.npz"}, (REALS, Y), (REALS[:20], Y[:20])


def fortran(tmp_path):
    x = np.asfortranarray(X)
    np.savez(tmp_path / "a.npz", x=x, y=Y, x_test=x.astype(">i4"), y_test=np.asfortranarray(REALS))
    return {"path": tmp_path / "a.npz"}, (X, Y), (X.astype(np.int32), REALS)


def cifar(tmp_path, form):
    folder = make.cifar_folder(tmp_path / form, form, PHOTOS, KINDS)
    make.cifar_folder(folder, form, PHOTOS_TEST, KINDS_TEST, "test")
    return {"path": folder}, (PHOTOS, KINDS), (PHOTOS_TEST, KINDS_TEST)


def folder(tmp_path):
    names = sorted(NAMES)
    order = make.image_folder(tmp_path / "images" / "train", X, Y, names)
    test_order = make.image_folder(tmp_path / "images" / "test", X_TEST[:7], Y_TEST[:7] // 2 * 2, names)
    y = (Y_TEST[:7] // 2 * 2)[test_order]  # classes 1, 3 and 5 have no test images, the others keep their numbers
    return {"path": tmp_path / "images"}, (X[order], Y[order]), (X_TEST[:7][test_order], y)


def flat_folder(tmp_path):
    order = make.image_folder(tmp_path / "images", PHOTOS, KINDS, sorted(NAMES))
    (tmp_path / "images" / "ant" / "notes.txt").write_text("no image")
    (tmp_path / "images" / ".cache").mkdir()
    return {"path": tmp_path / "images"}, (PHOTOS[order], KINDS[order]), None


def parquet(tmp_path, column, x):
    """Two files of the train split and one of the test split."""
    for name, rows in (("train-0", slice(0, 30)), ("train-1", slice(30, None)), ("test", slice(0, 20))):
        make.parquet(tmp_path / "t" / f"{name}.parquet", x=column(x[rows]), other=["a"] * len(x[rows]), y=Y[rows])
    return {"path": tmp_path / "t"}, (x, Y), (x[:20], Y[:20])


def tensor_column(tmp_path):
    column = pa.FixedShapeTensorArray.from_numpy_ndarray
    return parquet(tmp_path, lambda x: column(np.ascontiguousarray(x)), PHOTOS)


def table(tmp_path):
    """Features of several types side by side; the labels of pandas' rows are no feature."""
    columns = {f"c{i}": values for i, values in enumerate(REALS.T)} | {"n": Y.astype(np.int16), "yes": Y > 2}
    file = make.parquet(tmp_path / "t.parquet", **columns, kind=Y, __index_level_0__=np.arange(len(Y)))
    return {"path": file, "target": "kind"}, (np.column_stack([REALS, Y, Y > 2]).astype(float), Y), None


def byte_table(tmp_path):
    pixels = X.reshape(len(X), -1)
    file = make.parquet(tmp_path / "t.parquet", **{f"p{i}": v for i, v in enumerate(pixels.T)}, y=REALS[:, 0])
    return {"path": file}, (pixels, REALS[:, 0]), None


def target_columns(tmp_path):
    file = make.parquet(tmp_path / "t.parquet", x=make.fixed_lists(X), y=make.lists(REALS))
    return {"path": file}, (X.reshape(len(X), -1), REALS), None


def hugging_face(tmp_path, name="image", x=X):
    file = make.parquet(tmp_path / "t.parquet", **{name: make.hugging_face(x)}, label=Y)
    return {"path": file, "target": "label"}, (x, Y), None


def plain_images(tmp_path):
    content = pa.array([make.picture(pixels) for pixels in X])
    return {"path": make.parquet(tmp_path / "t.parquet", image=content, y=Y)}, (X, Y), None


def tensors(tmp_path):
    x, x_test = (a.astype(np.float32) / 255 for a in (X, X_TEST))
    return {"path": "tests.data.datasets:tensors"}, (x, Y), (x_test, Y_TEST)


CASES = {
    "idx": ("idx", idx),
    "idx.gz": ("idx", lambda tmp_path: idx(tmp_path, True)),
    "fashion_mnist": ("fashion_mnist", idx),
    "npz": ("npz", npz),
    "npz compressed": ("npz", lambda tmp_path: npz(tmp_path, np.savez_compressed)),
    "npz fortran": ("npz", fortran),
    "cifar10": ("cifar10", lambda tmp_path: cifar(tmp_path, "cifar10")),
    "cifar100": ("cifar100", lambda tmp_path: cifar(tmp_path, "cifar100")),
    "image_folder": ("image_folder", folder),
    "image_folder without splits": ("image_folder", flat_folder),
    "parquet lists": ("parquet", lambda tmp_path: parquet(tmp_path, make.lists, REALS)),
    "parquet fixed lists": ("parquet", lambda tmp_path: parquet(tmp_path, make.fixed_lists, REALS)),
    "parquet tensors": ("parquet", tensor_column),
    "parquet table": ("parquet", table),
    "parquet table of bytes": ("parquet", byte_table),
    "parquet target columns": ("parquet", target_columns),
    "parquet images": ("parquet", hugging_face),
    "parquet img": ("parquet", lambda tmp_path: hugging_face(tmp_path, "img", PHOTOS)),
    "parquet binary images": ("parquet", plain_images),
    "torch": ("torch", tensors),
}


@pytest.fixture(params=["whole chunks", "small chunks, on disk"])
def pieces(request, monkeypatch):
    """A set fits into one chunk and into memory, or neither."""
    if request.param != "whole chunks":
        monkeypatch.setattr(source, "CHUNK", 3000)
        monkeypatch.setattr(gather, "IN_MEMORY", 0)
        for name in ("image_folder.CHUNK", "dataset.CHUNK", "parquet.BATCH"):
            monkeypatch.setattr(f"distlandscape.data.{name}", 3000)


@pytest.mark.parametrize("case", CASES)
def test_every_bit_comes_back(case, tmp_path, pieces):
    name, build = CASES[case]
    options, train, test = build(tmp_path)
    into = tmp_path / "stores" / "s.arrow"
    for split, (x, y) in [("train", train)] + ([("test", test)] if test else []):
        store = load_source(name, split=split, scaling="none", into=into, **options)
        assert make.same(store, *make.drawn(x, y))
        assert (store.path, store.split, store.scaling, store.samples) == (into, split, None, len(x))
        assert store.intact()
        assert store.digest == BlockStore.from_arrays(*make.drawn(x, y)).digest
        assert store.digest == load_source(name, split=split, scaling="none", **options).digest
        assert list(into.parent.iterdir()) == [into]
    if test is None:
        with pytest.raises(InputError, match=r"no test split here; .*, or set data.split=train"):
            load_source(name, split="test", **options)


@pytest.mark.parametrize("case", CASES)
def test_a_part_of_every_source(case, tmp_path, pieces):
    name, build = CASES[case]
    options, (x, y), _ = build(tmp_path)
    options["scaling"] = "none"
    few = load_source(name, samples=17, seed=5, blocks=1, **options)
    assert make.same(few, *make.drawn(x, y, 5, 17))
    assert ", 17 samples, permutation seed 5" in few.description
    if y.dtype.kind in "iu":
        two = load_source(name, classes=(4, 0), samples=5, seed=5, **options)
        mine = (y == 4) | (y == 0)
        assert make.same(two, *make.drawn(x[mine], (y[mine] == 0).astype(int), 5, 5))
        assert "classes [4, 0] as 0…1, 5 samples" in two.description


def test_a_store_is_used_as_it_is(tmp_path):
    path = str(tmp_path / "s.arrow")
    options, _, _ = idx(tmp_path)
    first = load_source("idx", seed=3, blocks=2, scaling="standard", into=path, split="test", **options)
    again = load_source("store", path, seed=99)
    assert (again.path, again.digest, again.scaling, again.split) == (first.path, first.digest, first.scaling, "test")
    assert load_source("store", path, split="test", scaling="standard").digest == first.digest
    copy = load_source("store", path, into=tmp_path / "copy.arrow")
    assert (tmp_path / "copy.arrow").read_bytes() == (tmp_path / "s.arrow").read_bytes()
    assert copy.path == tmp_path / "copy.arrow"


def test_a_store_is_a_source_too(tmp_path, pieces):
    path = str(tmp_path / "s.arrow")
    options, _, _ = idx(tmp_path)
    x, y = make.whole(load_source("idx", seed=3, scaling="unit", into=path, **options))
    store = load_source("store", path, samples=20, seed=4, into=path)  # over itself
    assert make.same(store, *make.drawn(x, y, 4, 20))
    assert (store.scaling.name, store.split, store.blocks) == ("unit", "train", 1)
    assert store.description.count("used as (x − 0) / 255") == 1
    assert store.description.endswith("permutation seed 3, used as (x − 0) / 255, 20 samples, permutation seed 4")
    fewer = load_source("store", path, classes=(6, 1), blocks=1)
    x, y = make.whole(store)
    mine = (y == 6) | (y == 1)
    assert make.same(fewer, *make.drawn(x[mine], (y[mine] == 1).astype(int)))


def test_only_the_wanted_items_of_a_dataset_are_asked_for():
    from tests.data import datasets

    load_source("torch", "tests.data.datasets:counted", samples=5, seed=1)
    order = np.random.Generator(np.random.Philox(1)).permutation(40)[:5]
    assert set(datasets.LAST.asked) == {0, *order.tolist()}


def test_items_may_be_images_arrays_and_numbers():
    x, y = make.arrays(20, (3, 4, 5))
    assert make.same(load_source("torch", "tests.data.datasets:pictures"), *make.drawn(x, y))
    x, y = make.arrays(30)
    assert make.same(load_source("torch", "tests.data.datasets:train_only", options={"n": 30}), *make.drawn(x, y))
    store = load_source("torch", "tests.data.datasets:regression")
    y = np.array([[1.5, i] for i in range(20)], np.float32)
    assert make.same(store, *make.drawn(make.arrays(20)[0].astype(float), y))


def test_files_and_row_groups_without_rows(tmp_path):
    none = {"x": pa.array([], pa.list_(pa.float64())), "y": pa.array([], pa.int64())}
    for name, columns in (("0", none), ("1", {"x": make.lists(REALS), "y": Y}), ("2", none)):
        make.parquet(tmp_path / "t" / f"train-{name}.parquet", **columns)
    assert make.same(load_source("parquet", str(tmp_path / "t")), *make.drawn(REALS, Y))


def test_labels_of_one_class_folder_and_jpeg(tmp_path):
    for name, level in (("b", 10), ("a", 200)):
        (tmp_path / name).mkdir()
        grey = np.full((1, 8, 8), level, np.uint8)
        (tmp_path / name / "1.JPG").write_bytes(make.picture(grey, "JPEG"))
        (tmp_path / name / "2.jpeg").write_bytes(make.picture(grey, "JPEG"))
    x, y = make.whole(load_source("image_folder", str(tmp_path)))
    assert x.shape == (4, 1, 8, 8)
    assert np.array_equal(y, x.mean((1, 2, 3)) < 100)


@given(
    n=st.integers(1, 300),
    row=st.sampled_from([(1,), (7,), (2, 3)]),
    chunk=st.integers(1, 80),
    part=st.floats(0.01, 1),
    level=st.integers(0, 6),
    seed=st.integers(0, 2**32),
    on_disk=st.booleans(),
)
@settings(deadline=None, max_examples=80)
def test_gathering_is_indexing(n, row, chunk, part, level, seed, on_disk):
    """However a source is chunked and a selection is cut, a block is x[order] of its place."""
    x = np.arange(n * int(np.prod(row)), dtype=np.float32).reshape(n, *row)
    y = np.arange(n)
    order = np.random.default_rng(seed).permutation(n)[: max(1, round(part * n))]
    blocks = min(2**level, chosen_blocks(len(order), None))
    cut = block_bounds(len(order), blocks)
    read = Streamed("", y, lambda: (x[i : i + chunk] for i in range(0, n, chunk)))
    before = gather.IN_MEMORY
    gather.IN_MEMORY = 0 if on_disk else before
    try:
        with contextlib.ExitStack() as files:
            block, targets = gather.gather(read, order, cut, files, None, silent)
            got = np.concatenate([block(index) for index in range(blocks)])
    finally:
        gather.IN_MEMORY = before
    assert np.array_equal(got, x[order])
    assert np.array_equal(targets, order)


def test_progress_is_told(tmp_path):
    told = []
    options, _, _ = idx(tmp_path)
    load_source("idx", scaling="standard", into=tmp_path / "s", progress=told.append, **options)
    for line in (
        "mean and standard deviation of 53 of 53 samples",
        "read 53 of 53 samples",
        "digest of block 2 of 2",
        "writing block 2 of 2",
    ):
        assert line in told


@pytest.mark.skipif(not FASHION_MNIST.is_dir(), reason="Debian's package dataset-fashion-mnist is not installed")
def test_the_real_fashion_mnist():
    for split, n in (("train", 60_000), ("test", 10_000)):
        store = load_source("fashion_mnist", split=split)
        x, _ = store.block(5)
        assert (store.samples, x.shape[1:], x.dtype) == (n, (1, 28, 28), np.uint8)
        assert np.array_equal(np.bincount(make.whole(store)[1]), [n // 10] * 10)
    train = load_source("fashion_mnist", scaling="standard").scaling
    assert train.shift == pytest.approx([0.2860406 * 255])  # the mean everybody knows
    assert train.divisor == pytest.approx([0.3530242 * 255])
