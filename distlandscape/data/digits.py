"""``data.source=digits``: scikit-learn's bundled handwritten digits."""

from __future__ import annotations

import numpy as np

from distlandscape.data.source import Request, Source, Streamed
from distlandscape.errors import InputError


def has_test(_: Request) -> bool:
    """There is none."""
    return False


def open_digits(request: Request) -> Source:
    """1797 grey images (1, 8, 8), float32 in [0, 1]."""
    from sklearn.datasets import load_digits

    if request.path is not None:
        raise InputError("data.source=digits is bundled and takes no data.path; remove data.path")
    request.train_only("choose a source with one, for example fashion_mnist")
    x, y = load_digits(return_X_y=True)
    images = (x.reshape(-1, 1, 8, 8) / 16).astype(np.float32)
    return Streamed(
        "handwritten digits (scikit-learn), 1×8×8, grey levels divided by 16", np.asarray(y), lambda: iter([images])
    )
