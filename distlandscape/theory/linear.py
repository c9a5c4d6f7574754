"""Exactly solvable nets: softmax regression, and two balanced linear layers.

Shapes: N samples, F features, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.theory.softmax import softmax

Array = npt.NDArray[np.float64]


def softmax_regression_hessian(x: npt.ArrayLike, weights: npt.ArrayLike) -> Array:
    """Hessian (C·F, C·F) of the mean cross-entropy of z = W x: the mean of (diag p − p pᵀ) ⊗ x xᵀ; labels play no part.

    At W = 0 its eigenvalues are those of the second moment of x over C, each C − 1 times, and F zeros.

    Args:
        x: samples (N, F).
        weights: W (C, F); θ is W row by row.

    Raises:
        InputError: shapes that do not fit, or values that are not finite.
    """
    X, W = np.asarray(x, dtype=np.float64), np.asarray(weights, dtype=np.float64)
    if X.ndim != 2 or W.ndim != 2 or X.shape[1] != W.shape[1] or not len(X) or len(W) < 2:
        raise InputError(f"x must be (N, F) and weights (C, F) with C of at least 2, not {X.shape} and {W.shape}")
    if not np.isfinite(X).all() or not np.isfinite(W).all():
        raise InputError("x and weights must be finite; remove NaN and infinite values")
    p = softmax(X @ W.T)
    A = -p[:, :, None] * p[:, None, :]
    A[:, np.arange(len(W)), np.arange(len(W))] += p
    H: Array = np.einsum("nij,na,nb->iajb", A, X, X, optimize=True).reshape(W.size, W.size) / len(X)
    return H


@dataclass(frozen=True, eq=False)
class DeepLinearModes:
    """Two balanced linear layers on whitened inputs, loss ½|·|²: each singular value of the target learns by itself.

    Attributes:
        singular_values: s_i of the target map.
        initial: u₀, the strength every mode starts from.
        tau: time constant, 1/learning rate.
    """

    singular_values: Array
    initial: float
    tau: float

    def strengths(self, times: npt.ArrayLike) -> Array:
        """u_i(t) = s e^{2st/τ}/(e^{2st/τ} − 1 + s/u₀), (times, modes) (Saxe et al. 2014, eq. 9)."""
        t, s = np.asarray(times, dtype=np.float64)[..., None], self.singular_values
        decay = np.exp(-2 * s * t / self.tau)
        u: Array = s / (1 - decay + decay * s / self.initial)
        return u

    def hessian_eigenvalues(self) -> Array:
        """Eigenvalues s_i + s_j at the balanced minimum, for every ordered pair of modes, descending."""
        sums: Array = np.sort((self.singular_values[:, None] + self.singular_values).ravel())[::-1]
        return sums


def deep_linear_modes(singular_values: npt.ArrayLike, initial: float, tau: float = 1.0) -> DeepLinearModes:
    """The modes of a two-layer balanced linear net.

    Raises:
        InputError: values that are not positive.
    """
    s = np.asarray(singular_values, dtype=np.float64).ravel()
    if not len(s) or not (np.isfinite(s) & (s > 0)).all() or not initial > 0 or not tau > 0:
        raise InputError("singular values, initial strength and tau must be positive; correct them")
    return DeepLinearModes(s, initial, tau)
