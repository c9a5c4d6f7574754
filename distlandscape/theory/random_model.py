"""The random model of Fort & Ganguli (2019): clustered logit gradients and independent Gaussian logits.

∂z_k^μ/∂θ = c_k + d_{k,y^μ} + E_k^μ with entries N(0, σ_c²), N(0, σ_d²), N(0, σ_E²); z_k^μ ~ N(0, σ_z²); p = softmax(z);
G = (1/N) Σ_μ J^T (diag p − p pᵀ) J.

Shapes: C classes, N examples, D dimensions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.errors import InputError
from distlandscape.theory.prediction import Prediction, predict
from distlandscape.theory.softmax import require_classes, require_scale, require_size, softmax

Array = npt.NDArray[np.float64]
LABELS = ("sampled", "uniform", "argmax")


@dataclass(frozen=True, eq=False)
class Draw:
    """One draw of the model.

    Attributes:
        gradient: (D,) of the mean cross-entropy.
        eigenvalues: the non-zero spectrum of G, descending.
        confinement: |V g|²/|g|² for the C − 1 leading eigenvectors V.
        overlap: mean of the squared cosines between the span of V and the span of the centred cluster means c_k.
        trace: Tr G.
        frobenius: ‖G‖_F.
    """

    gradient: Array
    eigenvalues: Array
    confinement: float
    overlap: float
    trace: float
    frobenius: float


@dataclass(frozen=True)
class RandomModel:
    """The random model; ``sample`` draws from it, ``predict`` says what a large draw looks like.

    Args:
        classes: C.
        examples: N.
        dim: D.
        sigma_c: standard deviation of the entries of the cluster means c_k.
        sigma_e: of what scatters around them.
        sigma_z: of the logits.
        sigma_d: of what logit k shares over the examples of one true class.
        labels: "sampled" from p, "uniform", or "argmax" of p.
        seed: of the draws.

    Raises:
        InputError: non-positive sizes, C below 2, negative scales, or unknown labels.
    """

    classes: int
    examples: int
    dim: int
    sigma_c: float
    sigma_e: float
    sigma_z: float
    sigma_d: float = 0.0
    labels: str = "sampled"
    seed: int = 0

    def __post_init__(self) -> None:
        require_classes(self.classes)
        require_size("examples", self.examples)
        require_size("dim", self.dim)
        for name in ("sigma_c", "sigma_e", "sigma_z", "sigma_d"):
            require_scale(name, getattr(self, name))
        if not self.sigma_c and not self.sigma_e and not self.sigma_d:
            raise InputError("sigma_c, sigma_e and sigma_d are all 0, so that every gradient is; raise one of them")
        if self.labels not in LABELS:
            raise InputError(f"labels={self.labels!r} are unknown; known: {', '.join(LABELS)}")
        if self.seed < 0:
            raise InputError(f"seed={self.seed} must be 0 or positive; correct it")

    @property
    def clustering(self) -> dict[str, float]:
        """Expected mean cosines between logit gradients of different examples: q_SL, q_SLSC, q_SLDC, q_DL."""
        within, shared = self.sigma_c**2, self.sigma_d**2
        total = within + shared + self.sigma_e**2
        same, different = (within + shared) / total, within / total
        return {
            "q_sl": same / self.classes + different * (1 - 1 / self.classes),
            "q_slsc": same,
            "q_sldc": different,
            "q_dl": 0.0,
        }

    def predict(self) -> Prediction:
        """Spectrum, overlap, confinement, trace and norm of a large draw.

        Raises:
            InputError: σ_d ≠ 0, for which there is no closed form.
        """
        if self.sigma_d:
            raise InputError("no closed form is known for sigma_d other than 0; use sample(), or set sigma_d=0")
        return predict(
            self.classes, self.examples, self.dim, self.sigma_c, self.sigma_e, self.sigma_z, self.labels == "sampled"
        )

    def sample(self) -> Draw:
        """One draw; equal seeds give equal draws. Memory: N·C·D numbers; time: that times min(N·C, D)."""
        C, N = self.classes, self.examples
        p_NC, y_N, c_CD, J_NCD = self._gradients()
        slope_NC = p_NC.copy()
        slope_NC[np.arange(N), y_N] -= 1
        gradient_D = np.einsum("nc,ncd->d", slope_NC, J_NCD) / N
        values, V_kD = _leading(_factor(p_NC, J_NCD), min(N * (C - 1), self.dim), C - 1)
        return Draw(
            gradient=gradient_D,
            eigenvalues=values,
            confinement=float(np.square(V_kD @ gradient_D).sum() / np.square(gradient_D).sum()),
            overlap=_overlap(V_kD, c_CD - c_CD.mean(0)) if self.sigma_c else 0.0,
            trace=float(values.sum()),
            frobenius=float(np.sqrt(np.square(values).sum())),
        )

    def factor(self) -> Array:
        """A (N·C, D) of the draw that ``sample`` describes, with G = AᵀA."""
        p_NC, _, _, J_NCD = self._gradients()
        return _factor(p_NC, J_NCD)

    def _gradients(self) -> tuple[Array, npt.NDArray[np.int64], Array, Array]:
        """Probabilities, labels, cluster means and logit gradients of the draw."""
        C, N, D = self.classes, self.examples, self.dim
        generator = np.random.default_rng(self.seed)
        p_NC = softmax(self.sigma_z * generator.standard_normal((N, C)))
        y_N = self._draw_labels(p_NC, generator)
        c_CD = self.sigma_c * generator.standard_normal((C, D))
        J_NCD = self.sigma_e * generator.standard_normal((N, C, D))
        J_NCD += c_CD
        if self.sigma_d:
            J_NCD += (self.sigma_d * generator.standard_normal((C, C, D)))[:, y_N].swapaxes(0, 1)
        return p_NC, y_N, c_CD, J_NCD

    def _draw_labels(self, p_NC: Array, generator: np.random.Generator) -> npt.NDArray[np.int64]:
        if self.labels == "argmax":
            top: npt.NDArray[np.int64] = p_NC.argmax(1)
            return top
        if self.labels == "uniform":
            return generator.integers(0, self.classes, len(p_NC))
        labels: npt.NDArray[np.int64] = (p_NC.cumsum(1) < generator.random((len(p_NC), 1))).sum(1)
        return np.minimum(labels, self.classes - 1)


def _factor(p_NC: Array, J_NCD: Array) -> Array:
    """A (N·C, D) with G = AᵀA."""
    N, C, D = J_NCD.shape
    # diag p − p pᵀ = BᵀB with B = (I − u uᵀ) diag u, u = √p a unit vector, so A = BJ/√N.
    u_NC = np.sqrt(p_NC)
    A_NCD = u_NC[:, :, None] * J_NCD
    A_NCD -= u_NC[:, :, None] * np.einsum("nc,ncd->nd", u_NC, A_NCD)[:, None, :]
    A: Array = A_NCD.reshape(N * C, D) / np.sqrt(N)
    return A


def _leading(A: Array, rank: int, k: int) -> tuple[Array, Array]:
    """Non-zero eigenvalues of AᵀA, descending, and its k leading eigenvectors, by the smaller of two Gram matrices."""
    rows, D = A.shape
    if rows >= D:
        values, vectors = np.linalg.eigh(A.T @ A)
        return np.maximum(values[::-1][:rank], 0), vectors[:, ::-1][:, :k].T
    values, vectors = np.linalg.eigh(A @ A.T)
    leading = vectors[:, ::-1][:, :k].T @ A
    return np.maximum(values[::-1][:rank], 0), leading / np.linalg.norm(leading, axis=1, keepdims=True)


def _overlap(V_kD: Array, means_CD: Array) -> float:
    """Mean squared cosine between two subspaces of dimension C − 1."""
    span = np.linalg.svd(means_CD, full_matrices=False)[2][: len(V_kD)]
    return float(np.square(V_kD @ span.T).sum() / len(V_kD))
