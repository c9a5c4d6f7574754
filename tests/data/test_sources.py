"""Sources: digits and npz, filtered, permuted, cut; and every way an npz can be wrong."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from sklearn.datasets import load_digits

from distlandscape.data import load_source
from distlandscape.errors import InputError


def whole(store):
    parts = [store.block(index) for index in range(store.blocks)]
    return np.concatenate([x for x, _ in parts]), np.concatenate([y for _, y in parts])


def rows(x, y):
    """The samples as a set that no permutation changes."""
    return sorted((sample.tobytes(), target.tobytes()) for sample, target in zip(x, y, strict=True))


@pytest.fixture
def file(tmp_path):
    rng = np.random.default_rng(0)
    path = tmp_path / "samples.npz"
    np.savez(path, x=rng.standard_normal((60, 3)), y=np.arange(60) % 5)
    return path


def test_digits_are_all_there_once():
    store = load_source("digits")
    images, labels = load_digits(return_X_y=True)
    x, y = whole(store)
    assert x.dtype == np.float32
    assert (x.shape, x.min(), x.max()) == ((1797, 1, 8, 8), 0, 1)
    assert rows(x, y) == rows((images / 16).astype(np.float32), labels)
    assert (store.samples, store.blocks) == (1797, 16)


def test_digests_stay_what_they_were(tmp_path):
    assert load_source("digits", blocks=64).digest == "ffa5fdd85f60610da489a744bdd6896e2ec78db8b9cd7ad28ffc26133b85db7f"
    few = load_source("digits", samples=200, classes=(3, 1), seed=5, blocks=2)
    assert few.digest == "a931038635e38a175f78780949ecf93307cc0c4a6a80b36a593a81c826c9933f"
    x = np.arange(240, dtype=np.float32).reshape(60, 4)
    np.savez(tmp_path / "a.npz", x=x, y=np.arange(60) % 5)
    store = load_source("npz", str(tmp_path / "a.npz"), seed=3, samples=40)
    assert store.digest == "4c67a7bc78db2f09fa09401a65fe1e71f5378abe9180f9c11e130b968888bee4"


def test_npz_keeps_values_and_types(file):
    with np.load(file) as arrays:
        expected_x, expected_y = arrays["x"], arrays["y"]
    x, y = whole(load_source("npz", str(file)))
    assert (x.dtype, y.dtype) == (np.float64, np.int64)
    assert rows(x, y) == rows(expected_x, expected_y)
    assert "samples.npz" in load_source("npz", str(file)).description


def test_seed_decides_the_order(file):
    digests = [load_source("npz", str(file), seed=seed).digest for seed in (0, 0, 1)]
    assert digests[0] == digests[1] != digests[2]
    assert rows(*whole(load_source("npz", str(file), seed=1))) == rows(*whole(load_source("npz", str(file))))
    assert load_source("npz", str(file), seed=2**63 - 1).samples == 60


def test_the_global_random_state_is_left_alone(file):
    state = np.random.get_state()[1].copy()  # noqa: NPY002
    load_source("npz", str(file), samples=10)
    assert np.array_equal(np.random.get_state()[1], state)  # noqa: NPY002


def test_samples_takes_the_first_of_the_permutation(file):
    x, y = whole(load_source("npz", str(file), seed=3))
    few_x, few_y = whole(load_source("npz", str(file), seed=3, samples=20))
    assert np.array_equal(few_x, x[:20])
    assert np.array_equal(few_y, y[:20])
    assert "20 samples" in load_source("npz", str(file), samples=20).description


def test_classes_are_kept_and_numbered_in_the_order_given(file):
    x, y = whole(load_source("npz", str(file), classes=(4, 1)))
    all_x, all_y = whole(load_source("npz", str(file)))
    expected = [
        (sample, {4: 0, 1: 1}[label]) for sample, label in zip(all_x, all_y.tolist(), strict=True) if label in (1, 4)
    ]
    assert len(y) == 24
    assert rows(x, y) == rows(np.array([s for s, _ in expected]), np.array([label for _, label in expected]))


def test_blocks(file):
    assert load_source("npz", str(file)).blocks == 2
    assert load_source("npz", str(file), blocks=1).blocks == 1


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"samples": 61}, "data.samples=61, but the source holds 60"),
        ({"classes": (1,)}, "at least two different"),
        ({"classes": ()}, "at least two different"),
        ({"classes": (1, 1)}, "at least two different"),
        ({"classes": (1, 7)}, r"names \[7\]"),
        ({"classes": (1, 10**30)}, "which no sample has"),
        ({"classes": (1, -1)}, r"names \[-1\]"),
        ({"blocks": 3}, "not a power of two"),
        ({"blocks": 4}, "too many"),
        ({"samples": 20, "blocks": 2}, "too many for 20"),
    ],
)
def test_options_that_do_not_fit(file, options, message):
    with pytest.raises(InputError, match=message):
        load_source("npz", str(file), **options)


def test_names_and_paths_that_do_not_fit(file, tmp_path):
    for source, path, message in [
        ("imagenet", None, "unknown data.source 'imagenet'; known: digits, npz"),
        ("", None, "known: digits, npz"),
        ("digits", str(file), "takes no data.path"),
        ("store", None, "needs data.path"),
        ("npz", None, "needs data.path"),
        ("npz", str(tmp_path / "absent.npz"), "does not exist"),
        ("npz", str(tmp_path), "cannot read"),
        ("npz", "", "cannot read"),
        ("npz", str(file / "below"), "cannot read"),
        ("npz", "a\0b", "cannot read"),
    ]:
        with pytest.raises(InputError, match=message):
            load_source(source, path)


def packed(**arrays):
    buffer = io.BytesIO()
    np.savez(buffer, **arrays)
    return buffer.getvalue()


def member(content):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("x.npy", content)
        archive.writestr("y.npy", content)
    return buffer.getvalue()


def single():
    buffer = io.BytesIO()
    np.save(buffer, np.ones((3, 2)))
    return buffer.getvalue()


def header(text):
    text = text.ljust(117) + b"\n"
    return b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text


def flipped():
    """A compressed archive with a byte changed in the middle of the data."""
    buffer = io.BytesIO()
    np.savez_compressed(buffer, x=np.random.default_rng(0).standard_normal((50, 20)), y=np.arange(50))
    content = bytearray(buffer.getvalue())
    content[400] ^= 255
    return bytes(content)


ONES, LABELS = np.ones((40, 3)), np.arange(40) % 2
PACKED = packed(x=ONES, y=LABELS)
GONE = b"{'descr': '<f8', 'fortran_order': False, 'shape': (1000000000000000, 3), }"
BAD = {
    "no x": (packed(X=ONES, y=LABELS), r"no array 'x' \(it has \['X', 'y'\]\)"),
    "no y": (packed(x=ONES), "no array 'y'"),
    "no arrays": (packed(), "no array 'x'"),
    "single npy": (single(), "single array, not an npz"),
    "object arrays": (packed(x=np.array([[None]] * 3), y=np.ones(3)), "Python objects"),
    "objects in y": (packed(x=np.ones((3, 1)), y=np.array([1, "a", None], dtype=object)), "Python objects"),
    "pickle": (b"\x80\x04K\x01.", "damaged or not an npz"),
    "empty file": (b"", "damaged or not an npz"),
    "text": (b"x,y\n1,2\n", "damaged or not an npz"),
    "truncated": (PACKED[: len(PACKED) // 2], "damaged"),
    "truncated at the end": (PACKED[:-5], "damaged"),
    "flipped byte": (flipped(), "damaged"),
    "member is text": (member(b"hello"), "damaged"),
    "member header only": (member(header(b"{'descr': '<f8', 'fortran_order': False, 'shape': (4, 3), }")), "damaged"),
    "member claims petabytes": (member(header(GONE)), "damaged"),
    "member header is code": (member(header(b"__import__('os').abort()")), "damaged"),
    "NaN": (packed(x=np.full((3, 1), np.nan), y=np.ones(3)), "x holds NaN"),
    "infinite target": (packed(x=np.ones((3, 1)), y=np.array([0, np.inf, 1])), "y holds NaN or infinite"),
    "text array": (packed(x=np.array([["a"]]), y=np.ones(1)), "<U1"),
    "unequal": (packed(x=ONES, y=LABELS[:-1]), "40 samples and y has 39"),
    "no samples": (packed(x=np.ones((0, 3)), y=np.ones(0)), "empty"),
    "scalars": (packed(x=1.0, y=2.0), "one row a sample"),
    "flat x": (packed(x=np.ones(40), y=LABELS), r"x must be \(N, …\)"),
    "cube of targets": (packed(x=ONES, y=np.ones((40, 2, 2))), r"y \(N,\) or \(N, C\)"),
}


@pytest.mark.parametrize("name", BAD)
def test_bad_npz(tmp_path, name):
    content, message = BAD[name]
    path = tmp_path / "bad.npz"
    path.write_bytes(content)
    with pytest.raises(InputError, match=message) as caught:
        load_source("npz", str(path))
    assert "\n" not in str(caught.value)


def test_the_test_split_has_arrays_of_its_own(file, tmp_path):
    with pytest.raises(InputError, match=r"no array 'x_test' \(it has \['x', 'y'\]\); .*, or set data.split=train"):
        load_source("npz", str(file), split="test")
    with pytest.raises(InputError, match="has no test split here; choose a source with one"):
        load_source("digits", split="test")
    np.savez(tmp_path / "both.npz", x=ONES, y=LABELS, x_test=ONES[:20] / 2, y_test=LABELS[:20])
    store = load_source("npz", str(tmp_path / "both.npz"), split="test")
    assert (store.samples, store.split, whole(store)[0].max()) == (20, "test", 0.5)
    assert "npz both.npz, test split" in store.description


def test_classes_need_labels(tmp_path):
    for y in (np.ones(40) / 2, np.ones((40, 2))):
        path = tmp_path / "real.npz"
        np.savez(path, x=ONES, y=y)
        with pytest.raises(InputError, match=r"data\.classes needs integer labels"):
            load_source("npz", str(path), classes=(0, 1))
