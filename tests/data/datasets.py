"""Factories of datasets, good and bad, as a user would write them."""

from __future__ import annotations

import numpy as np
import torch
from PIL import Image
from torch.utils.data import IterableDataset, TensorDataset

from tests.data.fabricate import arrays

VALUE = 3


class Items:
    """A dataset of given items."""

    def __init__(self, *items):
        self.items, self.asked = items, []

    def __len__(self):
        return len(self.items)

    def __getitem__(self, index):
        self.asked.append(index)
        return self.items[index]


def tensors(split, seed=0):
    """Float tensors with labels, of either split."""
    x, y = arrays(53 if split == "train" else 37, seed=seed + (split == "test"))
    return TensorDataset(torch.from_numpy(x).float() / 255, torch.from_numpy(y))


def train_only(n=40):
    """Arrays and Python numbers; no splits."""
    x, y = arrays(n)
    return Items(*((pixels, int(label)) for pixels, label in zip(x, y, strict=True)))


def pictures():
    """Images of Pillow, as torchvision's datasets give them without a transform."""
    x, y = arrays(20, (3, 4, 5))
    return Items(*((Image.fromarray(p.transpose(1, 2, 0)), torch.tensor(k)) for p, k in zip(x, y, strict=True)))


def regression():
    """Real-valued targets."""
    x, _ = arrays(20)
    return Items(*((torch.from_numpy(pixels).double(), torch.tensor([1.5, index])) for index, pixels in enumerate(x)))


LAST = train_only()


def counted():
    """The dataset LAST, which remembers what it was asked for."""
    LAST.asked.clear()
    return LAST


def fails():
    raise RuntimeError("no\ndisk")


def exits():
    raise SystemExit(3)


def nothing():
    return None


def empty():
    return Items()


class Endless(IterableDataset):
    """No map-style dataset."""

    def __iter__(self):
        return iter([])


def fails_at(index):
    """A dataset whose item ``index`` cannot be had."""

    class Failing(Items):
        def __getitem__(self, i):
            if i == index:
                raise OSError("unreadable")
            return self.items[i]

    return Failing(*train_only().items)


def odd_shape():
    return Items((np.zeros(3), 0), (np.zeros(3), 1), (np.zeros(4), 1))


def odd_type():
    return Items((np.zeros(3), 0), (np.zeros(3, np.float32), 1))


def odd_target():
    return Items((np.zeros(3), 0), (np.zeros(3), 1.5))


def triples():
    return Items((np.zeros(3), 0, 1))


def words():
    return Items((np.zeros(3), "cat"))


def single_numbers():
    return Items((1.0, 0), (2.0, 1))


def brain_floats():
    return Items((torch.zeros(3, dtype=torch.bfloat16), 0))


def deep_pictures():
    return Items((Image.fromarray(np.zeros((4, 4), np.int32)), 0))
