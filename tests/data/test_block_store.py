"""The block store: every bit comes back, any change shows, and a damaged file is refused."""

from __future__ import annotations

import pickle

import numpy as np
import pyarrow as pa
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from distlandscape.data import BlockStore, default_blocks
from distlandscape.data.blocks import block_bounds
from distlandscape.errors import InputError

X_TYPES = ["float16", "float32", "float64", "uint8", "int8", "uint16", "int64"]
N = 40


def bits(array):
    return array.dtype.str, array.shape, array.tobytes()


def whole(store):
    parts = [store.block(index) for index in range(store.blocks)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def random_array(dtype, shape, seed=0):
    """Random numbers, with the awkward ones among them."""
    rng = np.random.default_rng(seed)
    if np.dtype(dtype).kind == "f":
        array = rng.standard_normal(shape).astype(dtype)
        array.flat[:4] = [0.0, -0.0, np.finfo(dtype).max, np.finfo(dtype).smallest_subnormal]
    else:
        limits = np.iinfo(dtype)
        array = rng.integers(limits.min, limits.max, shape, dtype, endpoint=True)
        array.flat[:2] = [limits.min, limits.max]
    return array


@pytest.mark.parametrize("kind", ["memory", "file", "pickled memory", "pickled file", "file of a file"])
@pytest.mark.parametrize("targets", ["labels", "columns"])
@pytest.mark.parametrize("dtype", X_TYPES)
@pytest.mark.parametrize("shape", [(3,), (2, 3, 4)])
def test_round_trip_bit_for_bit(tmp_path, kind, targets, dtype, shape):
    x = random_array(dtype, (N, *shape))
    y = np.arange(N) % 7 if targets == "labels" else random_array("float32", (N, 3))
    store = BlockStore.from_arrays(x, y, blocks=2, description="forty samples")
    digest = store.digest
    if "file" in kind:
        store = store.write(tmp_path / "store.arrow")
        assert store.path == tmp_path / "store.arrow"
    if kind == "file of a file":
        store = store.write(tmp_path / "again.arrow")
    if "pickled" in kind:
        store = pickle.loads(pickle.dumps(store))  # noqa: S301
    assert (store.samples, store.blocks, store.digest, store.description) == (N, 2, digest, "forty samples")
    assert [bits(a) for a in whole(store)] == [bits(x), bits(y)]


@given(
    x=st.sampled_from(["float32", "float64", "uint8", "int64"]).flatmap(
        lambda dtype: arrays(
            dtype,
            array_shapes(min_dims=2, max_dims=4, max_side=40),
            elements={"allow_nan": False, "allow_infinity": False} if dtype.startswith("f") else None,
        )
    )
)
@settings(deadline=None, max_examples=50)
def test_round_trip_of_any_array(x):
    y = np.arange(len(x), dtype=np.float64) / 3
    store = BlockStore.from_arrays(x, y)
    assert [bits(a) for a in whole(store)] == [bits(x), bits(y)]
    assert store.blocks == default_blocks(len(x))


@pytest.mark.parametrize("kind", ["memory", "file", "pickled"])
def test_views_are_read_only(tmp_path, kind):
    store = BlockStore.from_arrays(np.ones((N, 3)), np.ones((N, 2)))
    store = store.write(tmp_path / "s") if kind == "file" else store
    store = pickle.loads(pickle.dumps(store)) if kind == "pickled" else store  # noqa: S301
    for array in store.block(1):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 5


def test_layout_and_byte_order_do_not_matter():
    x = random_array("float64", (N, 3, 4))
    y = np.arange(N)
    digest = BlockStore.from_arrays(x, y).digest
    for other in (x.astype(">f8"), np.asfortranarray(x), np.repeat(x, 2, axis=0)[::2], x.tolist()):
        assert BlockStore.from_arrays(other, y).digest == digest
    for labels in (y.astype(np.uint8), y.astype(">i4"), y.tolist()):
        assert BlockStore.from_arrays(x, labels).digest == digest


def test_axes_of_length_1_may_have_any_stride():
    """Grey images in channels-last order, whose strides look like a transposition."""
    x = random_array("float64", (N, 1, 4, 6))
    last = torch.tensor(x).to(memory_format=torch.channels_last).numpy()
    assert last.strides != x.strides
    store = BlockStore.from_arrays(last, np.arange(N), blocks=2)
    assert store.digest == BlockStore.from_arrays(x, np.arange(N), blocks=2).digest
    assert np.array_equal(np.concatenate([store.block(b)[0] for b in (0, 1)]), x)


def test_booleans_are_numbers():
    x = np.arange(N)[:, None] % np.array([2, 3]) == 0
    for y, dtype in ((x[:, 0], np.int64), (x, np.uint8)):
        got_x, got_y = whole(BlockStore.from_arrays(x, y))
        assert (got_x.dtype, got_y.dtype) == (np.uint8, dtype)
        assert np.array_equal(got_x, x)
        assert np.array_equal(got_y, y)


def test_digest_tells_apart_values_types_shapes_and_cuts():
    x, y = random_array("float32", (N, 4)), np.arange(N)
    swapped = x.copy()
    swapped[[0, 1]] = swapped[[1, 0]]
    columns = y[:, None].astype(float)
    stores = {
        "itself": (x, y, 2),
        "cut": (x, y, 1),
        "type of x": (x.view(np.int32), y, 2),
        "shape of x": (x.reshape(N, 2, 2), y, 2),
        "order": (swapped, y, 2),
        "fewer": (x[:-1], y[:-1], 2),
        "type of y": (x, y.astype(float), 2),
        "shape of y": (x, columns, 2),
        "rows and columns": (x.T.reshape(N, 4), y, 2),
    }
    digests = {BlockStore.from_arrays(*arguments).digest for arguments in stores.values()}
    assert len(digests) == len(stores)
    assert BlockStore.from_arrays(x, y, 2, "other words").digest == BlockStore.from_arrays(x, y, 2).digest


@given(position=st.integers(0, N * 4 * 4 - 1), bit=st.integers(0, 7), array=st.sampled_from(["x", "y"]))
@settings(deadline=None, max_examples=60)
def test_digest_sees_every_bit(position, bit, array):
    x, y = np.arange(N * 16, dtype=np.uint8).reshape(N, 16), np.zeros((N, 16), np.uint8)
    before = BlockStore.from_arrays(x, y).digest
    {"x": x, "y": y}[array].reshape(-1)[position] ^= 1 << bit
    assert BlockStore.from_arrays(x, y).digest != before


@given(samples=st.integers(1, 5000), level=st.integers(0, 6))
def test_cut(samples, level):
    bounds = block_bounds(samples, 2**level)
    sizes = np.diff(bounds)
    assert (bounds[0], bounds[-1], len(sizes)) == (0, samples, 2**level)
    assert sizes.max() - sizes.min() <= 1


@given(samples=st.integers(1, 20_000))
def test_default_number_of_blocks(samples):
    blocks = default_blocks(samples)
    assert blocks & (blocks - 1) == 0
    assert 1 <= blocks <= 64
    assert blocks == 1 or blocks * 16 <= samples
    if blocks <= 16:
        assert 2 * blocks * 16 > samples or (blocks == 16 and samples < 32 * 128)
    else:
        assert blocks * 128 <= samples
        assert blocks == 64 or 2 * blocks * 128 > samples


@pytest.mark.parametrize(
    ("samples", "blocks", "message"),
    [
        (40, 3, "not a power of two"),
        (40, 0, "not a power of two"),
        (40, -2, "not a power of two"),
        (40, 4, "too many for 40 samples; choose at most 2"),
        (5, 2, "choose at most 1"),
        (2000, 256, "choose at most 125"),
    ],
)
def test_impossible_numbers_of_blocks(samples, blocks, message):
    with pytest.raises(InputError, match=message):
        BlockStore.from_arrays(np.ones((samples, 1)), np.ones(samples), blocks)


def test_more_blocks_than_the_default():
    assert BlockStore.from_arrays(np.ones((2048, 1)), np.ones(2048), 128).blocks == 128


@pytest.mark.parametrize(
    ("x", "y", "message"),
    [
        (np.ones((3, 2)), np.ones(4), "3 samples and y has 4"),
        (np.ones((0, 2)), np.ones(0), "empty"),
        (np.ones((3, 0)), np.ones(3), "empty"),
        (np.ones((3, 2)), np.ones((3, 0)), "empty"),
        (np.ones(3), np.ones(3), r"x must be \(N, …\)"),
        (np.ones((3, 2)), np.ones((3, 1, 1)), r"y \(N,\) or \(N, C\)"),
        (np.array([[1.0], [np.nan]]), np.ones(2), "x holds NaN"),
        (np.ones((2, 1)), np.array([1.0, -np.inf]), "y holds NaN"),
        (np.ones((2, 1)), np.array([0, 2**63], np.uint64), "labels go up to 9223372036854775807; number the classes"),
        (np.array([[None], [1]]), np.ones(2), "x has elements of type object"),
        (np.ones((2, 1)), np.array(["a", "b"]), "y has elements of type <U1"),
        (np.ones((2, 1), complex), np.ones(2), "complex128"),
        (np.ones((2, 1), np.longdouble), np.ones(2), "give float32, float64"),
        (np.zeros((2, 1), "datetime64[s]"), np.ones(2), "datetime64"),
        (np.zeros((2, 1), [("a", "f4")]), np.ones(2), "type"),
    ],
)
def test_unusable_arrays(x, y, message):
    with pytest.raises(InputError, match=message):
        BlockStore.from_arrays(x, y)


def test_digests_stay_what_they_were():
    """Runs name their data by digest, so stores of another version of this package must keep theirs."""
    x = np.arange(240, dtype=np.float32).reshape(40, 2, 3)
    assert BlockStore.from_arrays(x, np.arange(40) % 3, 2).digest == (
        "8950808689816f8db3644c63ac4caf6e3a70928aea315869442d04dcb86e046a"
    )
    x = np.arange(120, dtype=np.uint8).reshape(40, 3)
    store = BlockStore.from_arrays(x, np.arange(80.0).reshape(40, 2))
    assert store.digest == "3c91b4aa6f49c6df7dc401e80a8a4bd86af9719261c458e9a56a2aaec3ff8406"
    assert (store.scaling, store.split) == (None, None)


@given(indices=st.lists(st.integers(0, 99)), targets=st.sampled_from(["labels", "columns"]))
@settings(deadline=None, max_examples=50)
def test_taking_is_indexing(indices, targets):
    x = random_array("float32", (100, 2, 3))
    y = np.arange(100) if targets == "labels" else random_array("float64", (100, 2))
    indices = np.array(indices, np.int64)
    taken = BlockStore.from_arrays(x, y, blocks=4).take(indices)
    assert [bits(array) for array in taken] == [bits(x[indices]), bits(y[indices])]


def test_views_of_a_large_file_outlive_the_blocks_after_them(tmp_path, monkeypatch):
    monkeypatch.setattr("distlandscape.data.blocks.LARGE", 0)
    x = random_array("float32", (4000, 64))
    store = BlockStore.from_arrays(x, np.arange(4000)).write(tmp_path / "s")
    assert [bits(a) for a in whole(store)] == [bits(x), bits(np.arange(4000))]
    assert store.intact()
    assert store.write(tmp_path / "again").intact()
    assert (tmp_path / "again").read_bytes() == (tmp_path / "s").read_bytes()


@pytest.fixture
def content(tmp_path):
    return BlockStore.from_arrays(np.ones((N, 3)), np.arange(N)).write(tmp_path / "good").path.read_bytes()


def arrow_file(path, metadata):
    schema = pa.schema([("x", pa.int64())], metadata=metadata)
    with pa.ipc.new_file(str(path), schema) as writer:
        writer.write_batch(pa.record_batch([pa.array([1])], schema=schema))


def test_damaged_and_foreign_files(tmp_path, content):
    bad = tmp_path / "bad"
    cases = {
        length: content[:length] for length in (0, 1, 8, 100, len(content) // 2, len(content) - 10, len(content) - 1)
    }
    cases |= {"text": b"not a store", "pickle": pickle.dumps({"x": 1}), "zeros": bytes(1000)}
    for data in cases.values():
        bad.write_bytes(data)
        with pytest.raises(InputError, match="import the data again"):
            BlockStore.open(bad)
    for metadata in (None, {"distlandscape": "{"}, {"distlandscape": "[]"}, {"distlandscape": "{}"}, {"other": "1"}):
        arrow_file(bad, metadata)
        with pytest.raises(InputError, match="import the data again"):
            BlockStore.open(bad)
    for missing in (tmp_path / "absent", tmp_path):
        with pytest.raises(InputError, match="import the data again"):
            BlockStore.open(missing)


def test_a_file_that_was_replaced_is_noticed_by_workers(tmp_path):
    store = BlockStore.from_arrays(np.ones((N, 3)), np.arange(N)).write(tmp_path / "s")
    shipped = pickle.dumps(store)
    BlockStore.from_arrays(np.ones((N, 3)), np.arange(N) + 1).write(tmp_path / "s")
    with pytest.raises(InputError, match="changed while the run used it"):
        pickle.loads(shipped)  # noqa: S301


def test_a_store_opened_by_a_relative_path_can_be_shipped(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    store = BlockStore.from_arrays(np.ones((N, 3)), np.arange(N)).write("s")
    shipped = pickle.dumps(store)
    (tmp_path / "elsewhere").mkdir()
    monkeypatch.chdir(tmp_path / "elsewhere")
    assert pickle.loads(shipped).digest == store.digest  # noqa: S301
    assert store.path == tmp_path / "s"


def test_a_flipped_bit_in_the_samples_is_noticed(tmp_path):
    x = np.arange(200, dtype=np.float32).reshape(50, 4)
    store = BlockStore.from_arrays(x, np.arange(50) % 3, 2).write(tmp_path / "store.arrow")
    assert store.intact()
    content = bytearray((tmp_path / "store.arrow").read_bytes())
    content[content.find(x[7].tobytes()) + 2] ^= 1
    (tmp_path / "flipped.arrow").write_bytes(content)
    flipped = BlockStore.open(tmp_path / "flipped.arrow")
    assert flipped.digest == store.digest
    assert not flipped.intact()
