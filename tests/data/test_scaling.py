"""Scalings: the numbers are those of numpy, they travel with the store, and bytes stay bytes."""

from __future__ import annotations

import json
import pickle
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import array_shapes, arrays

from distlandscape.data import BlockStore, Scaling, load_source
from distlandscape.data.scaling import UNIT, standard
from distlandscape.errors import InputError
from tests.data import fabricate as make

SHAPES = array_shapes(min_dims=2, max_dims=4, max_side=6)
REALS = {"allow_nan": False, "allow_infinity": False, "min_value": -1e6, "max_value": 1e6}


@pytest.fixture
def npz(tmp_path):
    def save(**members):
        np.savez(tmp_path / "a.npz", **members)
        return str(tmp_path / "a.npz")

    return save


def expected(x):
    axes = (0, *range(2, x.ndim))
    return x.mean(axes, dtype=np.float64), x.astype(np.float64).std(axes)


@given(
    x=st.sampled_from(["uint8", "float32", "float64", "int16"]).flatmap(
        lambda dtype: arrays(dtype, SHAPES, elements=REALS if dtype == "float64" else None)
    ),
    chunk=st.integers(1, 7),
)
@settings(deadline=None, max_examples=150)
def test_standard_is_mean_and_deviation_per_channel(x, chunk):
    x = np.nan_to_num(x, nan=0, posinf=1, neginf=-1).clip(-1e6, 1e6) if x.dtype.kind == "f" else x
    got = standard(x[i : i + chunk] for i in range(0, len(x), chunk))
    mean, deviation = expected(x)
    constant = (np.ptp(np.moveaxis(x, 1, 0).reshape(x.shape[1], -1), axis=1) == 0) | (
        deviation == 0
    )  # or it underflows
    size = np.abs(x.astype(float)).max() + 1e-300
    assert np.allclose(got.shift, mean, rtol=0, atol=1e-13 * size)
    assert np.allclose(np.array(got.divisor)[~constant], deviation[~constant], rtol=1e-9, atol=1e-13 * size)
    assert np.array_equal(np.array(got.divisor)[constant], np.ones(constant.sum()))
    assert all(got.divisor)


def test_far_from_zero_nothing_cancels():
    """The textbook's E[x²] − E[x]² would give 0 or less here."""
    x = 1e9 + np.random.default_rng(0).standard_normal((5000, 3))
    got = standard(x[i : i + 7] for i in range(0, 5000, 7))
    assert got.divisor == pytest.approx(x.std(0).tolist(), rel=1e-9)


def test_a_constant_channel_becomes_zero():
    x = np.random.default_rng(0).standard_normal((40, 3, 2))
    x[:, 1] = 0.1  # its mean is not 0.1 to the last bit
    got = standard([x[:7], x[7:]])
    assert (got.shift[1], got.divisor[1]) == (0.1, 1.0)


def test_memory_of_a_large_chunk_is_bounded():
    x = np.zeros((2**24, 1), np.uint8)
    tracemalloc.start()
    standard([x])
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 2**25 + 2**23  # as float64 the whole would be 2²⁷


def test_scaling_is_of_the_whole_train_split(npz):
    x, y = make.arrays(60, (3, 2, 2))
    x_test = 255 - x[:30] // 2
    path = npz(x=x, y=y, x_test=x_test, y_test=y[:30])
    mean, deviation = expected(x)
    for options in ({}, {"split": "test"}, {"samples": 17, "classes": (1, 2), "seed": 4}):
        store = load_source("npz", path, scaling="standard", **options)
        assert store.scaling.shift == pytest.approx(mean.tolist(), rel=1e-13)
        assert store.scaling.divisor == pytest.approx(deviation.tolist(), rel=1e-13)
        assert store.block(0)[0].dtype == np.uint8
    assert make.same(load_source("npz", path, scaling="standard", split="test"), *make.drawn(x_test, y[:30]))


def test_scaling_of_a_parquet_folder_and_of_a_dataset(tmp_path):
    x, y = make.arrays(40, (3,))
    make.parquet(tmp_path / "t" / "train.parquet", x=make.lists(x), y=y)
    make.parquet(tmp_path / "t" / "test.parquet", x=make.lists(x // 2), y=y)
    store = load_source("parquet", str(tmp_path / "t"), scaling="standard", split="test")
    assert store.scaling.shift == pytest.approx(expected(x)[0].tolist())
    store = load_source("torch", "tests.data.datasets:tensors", scaling="standard", split="test")
    train = make.arrays()[0].astype(np.float32) / 255
    assert store.scaling.divisor == pytest.approx(expected(train)[1].tolist())


@pytest.mark.parametrize(
    ("dtype", "asked", "scaling"),
    [
        ("uint8", None, UNIT),
        ("uint8", "unit", UNIT),
        ("uint8", "none", None),
        ("float32", None, None),
        ("float32", "none", None),
        ("bool", None, None),  # stored as bytes, but no grey levels
        ("int64", None, None),
    ],
)
def test_defaults(npz, dtype, asked, scaling):
    x = (make.arrays(40)[0] % 2).astype(dtype)
    store = load_source("npz", npz(x=x, y=np.arange(40)), scaling=asked)
    assert store.scaling == scaling
    assert ("used as (x − 0) / 255" in store.description) == (scaling is not None)


def test_the_numbers_are_in_the_description(npz):
    x = np.array([[0, 4, 7], [2, 8, 7]] * 20, np.uint8)
    store = load_source("npz", npz(x=x, y=np.arange(40)), scaling="standard")
    assert store.description.endswith("used as (x − [1, 6, 7]) / [1, 2, 1] per channel")
    wide = load_source("npz", npz(x=np.tile(x, 10), y=np.arange(40)), scaling="standard").description
    assert wide.endswith("(x − [1, 6, 7, 1, … 30 values]) / [1, 2, 1, 1, … 30 values] per channel")


def test_scaling_travels_and_counts(npz, tmp_path):
    path = npz(x=make.arrays(40)[0], y=np.arange(40))
    stores = [load_source("npz", path, scaling=scaling) for scaling in ("none", "unit", "standard")]
    assert len({store.digest for store in stores}) == 3
    for store in stores:
        written = store.write(tmp_path / "s.arrow")
        for other in (written, BlockStore.open(tmp_path / "s.arrow"), *map(_shipped, (store, written))):
            assert (other.scaling, other.split, other.digest) == (store.scaling, "train", store.digest)
            assert other.intact()


def _shipped(store):
    return pickle.loads(pickle.dumps(store))  # noqa: S301


def test_a_changed_scaling_is_damage(npz, tmp_path):
    store = load_source("npz", npz(x=make.arrays(40)[0], y=np.arange(40)), into=tmp_path / "s.arrow")
    header = json.dumps({"scaling": store.scaling.header()})[1:-1].encode()
    content = store.path.read_bytes()
    assert content.count(header) == 2  # a file of Arrow ends with its schema, too
    store.path.write_bytes(content.replace(header, header.replace(b"255.0", b"256.0")))
    changed = BlockStore.open(store.path)
    assert changed.scaling == Scaling((0.0,), (256.0,))
    assert not changed.intact()
    store.path.write_bytes(content.replace(header, header.replace(b"255.0", b"0.000")))
    with pytest.raises(InputError, match="import the data again"):
        BlockStore.open(store.path)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"scaling": "unit"}, "data.scaling=unit divides bytes by 255, and the samples are float64"),
        ({"scaling": "standard", "x": np.full((40, 3), 1e200) * np.arange(40)[:, None]}, "too large to be squared"),
        ({"scaling": "standard", "x": np.full((40, 3), np.nan)}, "x holds NaN"),
        ({"scaling": "minmax"}, "unknown data.scaling 'minmax'; known: none, unit, standard"),
        ({"scaling": "unit", "x": np.ones((40, 3), bool)}, "the samples are bool"),
        (
            {"scaling": "standard", "split": "test", "x_test": np.ones((40, 2)), "y_test": np.arange(40)},
            r"the train split have the shape \(3,\), those of the test split \(2,\); make them alike",
        ),
    ],
)
def test_scalings_that_do_not_fit(npz, options, message):
    test = {name: options.pop(name) for name in ("x_test", "y_test") if name in options}
    path = npz(x=options.pop("x", np.ones((40, 3))), y=np.arange(40), **test)
    with pytest.raises(InputError, match=message):
        load_source("npz", path, **options)


def test_channels_of_the_test_split_are_those_of_the_train_split(npz):
    x = make.arrays(40, (3,))[0]
    path = npz(x=x, y=np.arange(40), x_test=x[:, :2], y_test=np.arange(40))
    with pytest.raises(InputError, match=r"train split have the shape \(3,\), those of the test split \(2,\); make"):
        load_source("npz", path, scaling="standard", split="test")
    assert load_source("npz", path, split="test").block(0)[0].shape[1:] == (2,)


@pytest.mark.parametrize(
    ("shift", "divisor"),
    [((), ()), ((1.0,), (1.0, 2.0)), ((0.0,), (0.0,)), ((np.nan,), (1.0,)), ((0.0,), (np.inf,))],
)
def test_no_scaling(shift, divisor):
    with pytest.raises(InputError, match="scaling"):
        Scaling(shift, divisor)
