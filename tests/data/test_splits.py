"""has_test_split says beforehand whether load_source can read a test split, without reading a sample."""

from __future__ import annotations

import numpy as np
import pytest

from distlandscape.data import has_test_split, load_source
from distlandscape.errors import InputError
from tests.data import fabricate as make

X, Y = make.arrays(20, classes=2)
PHOTOS = make.arrays(20, (3, 32, 32))[0]


def idx(path, test, compress=False):
    for split in ("train", "test")[: 1 + test]:
        make.idx_folder(path / "s", X, Y, split, compress)
    return path / "s"


def cifar(path, form, test):
    for split in ("train", "test")[: 1 + test]:
        make.cifar_folder(path / "s", form, PHOTOS, Y, split)
    return path / "s"


def npz(path, test):
    np.savez(path / "s.npz", x=X, y=Y, **({"x_test": X, "y_test": Y} if test else {"x_test": X}))
    return path / "s.npz"


def folder(path, test):
    for split in ("train", "test")[: 1 + test]:
        make.image_folder(path / "s" / split, X, Y, ["a", "b"])
    return path / "s"


def parquet(path, test):
    for split in ("train", "test")[: 1 + test]:
        make.parquet(path / "s" / f"{split}-00.parquet", x=make.lists(X), y=Y)
    return path / "s"


def store(path, test):
    return load_source("npz", npz(path, True), split="test" if test else "train", into=path / "s.arrow").path


CASES = {
    "idx": ("idx", idx),
    "idx.gz": ("idx", lambda path, test: idx(path, test, True)),
    "fashion_mnist": ("fashion_mnist", idx),
    "cifar10": ("cifar10", lambda path, test: cifar(path, "cifar10", test)),
    "cifar100": ("cifar100", lambda path, test: cifar(path, "cifar100", test)),
    "npz": ("npz", npz),
    "image_folder": ("image_folder", folder),
    "parquet": ("parquet", parquet),
    "torch": ("torch", lambda _, test: f"tests.data.datasets:{'tensors' if test else 'train_only'}"),
    "store": ("store", store),
}


@pytest.mark.parametrize("test", [True, False])
@pytest.mark.parametrize("case", CASES)
def test_it_says_what_load_source_does(case, test, tmp_path):
    source, build = CASES[case]
    path = str(build(tmp_path, test))
    assert has_test_split(source, path) is test
    if test:
        assert load_source(source, path, split="test").split == "test"
    else:
        with pytest.raises(InputError):
            load_source(source, path, split="test")


def test_sources_of_one_split(tmp_path):
    assert not has_test_split("digits")
    make.image_folder(tmp_path / "flat", X, Y, ["a", "b"])
    assert not has_test_split("image_folder", str(tmp_path / "flat"))
    assert not has_test_split("parquet", str(make.parquet(tmp_path / "t.parquet", x=make.lists(X), y=Y)))


@pytest.mark.parametrize("source", ["idx", "cifar10", "cifar100", "npz", "image_folder", "parquet", "store"])
def test_paths_that_are_not_there(source, tmp_path, monkeypatch):
    monkeypatch.chdir(folder(tmp_path, True))  # a folder named test in the working directory is nobody's test split
    for path in (None, str(tmp_path / "absent")):
        with pytest.raises(InputError, match=r"needs data\.path|does not exist"):
            has_test_split(source, path)


@pytest.mark.parametrize(
    ("source", "path", "message"),
    [
        ("imagenet", None, "unknown data.source 'imagenet'; known: digits, npz"),
        ("torch", None, "needs data.path, the package.module:factory"),
        ("torch", "no.such.module:f", "cannot import dataset"),
        ("npz", __file__, "damaged or not an npz archive"),
        ("store", __file__, "is not a block store"),
        ("idx", __file__, "is a file"),
    ],
)
def test_what_cannot_be_opened(source, path, message):
    with pytest.raises(InputError, match=message):
        has_test_split(source, path)
