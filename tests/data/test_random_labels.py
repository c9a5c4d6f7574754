"""Permuted labels: the same samples in the same order, as many of each class, repeatable, and another digest."""

from __future__ import annotations

import numpy as np

from distlandscape.data import load_source


def read(store):
    blocks = [store.block(i) for i in range(store.blocks)]
    return tuple(np.concatenate(parts) for parts in zip(*blocks, strict=True))


def test_only_the_pairing_changes(tmp_path):
    plain = load_source("digits", samples=200, seed=3)
    dealt = load_source("digits", samples=200, seed=3, random_labels=True)
    (x, y), (other_x, other_y) = read(plain), read(dealt)
    assert (x == other_x).all()
    assert (np.bincount(y) == np.bincount(other_y)).all()
    assert np.mean(y == other_y) < 0.3  # a tenth by chance
    assert dealt.digest != plain.digest
    assert "labels permuted" in dealt.description
    assert load_source("digits", samples=200, seed=3, random_labels=True).digest == dealt.digest
    again = load_source("store", str(write(tmp_path)), random_labels=True, seed=5)
    assert sorted(read(again)[1]) == sorted(y)
    assert again.digest != plain.digest


def write(folder):
    file = folder / "plain.arrow"
    load_source("digits", samples=200, seed=3, into=file)
    return file
