"""The empirical neural tangent kernel J Jᵀ of all samples: the dual of the Gauss-Newton term (Jacot et al. 2018).

The non-zero eigenvalues of G = (1/N) Σ Jᵀ M J are those of (1/N) Lᵀ (J Jᵀ) L, where M = L Lᵀ sample by sample.
Shapes: N samples, C logits, P parameters.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from distlandscape.curvature.kernel_sums import gradient_rows, kernel_columns, linearised_rows
from distlandscape.errors import InputError
from distlandscape.objective import Objective
from distlandscape.runtime.clustering import first_logits
from distlandscape.runtime.local import LocalRunner
from distlandscape.runtime.runner import Runner

Array = npt.NDArray[np.float64]
LARGEST = 10_000  # rows of a kernel: 0.8 GB, and minutes for its eigenvalues
SUMS_BYTES = 2**26  # float64 sums of one pass; a worker holds one such array a level of its block tree


@dataclass(frozen=True)
class KernelDrift:
    """How far a kernel is from another one, in the Frobenius norm.

    Attributes:
        relative: ‖K − K₀‖ / ‖K₀‖.
        alignment: ⟨K, K₀⟩ / (‖K‖ ‖K₀‖), 1 for kernels that differ by a factor.
    """

    relative: float
    alignment: float


@dataclass(frozen=True)
class Linearised:
    """The network linearised at one point beside the network itself at another.

    Attributes:
        error: ‖z_linear − z‖ / ‖z − z₀‖ over all samples and logits: 0 where training stayed in the kernel's regime.
        agreement: share of samples for which both predict the same class.
        accuracy: share of samples whose label the linearised network predicts.
    """

    error: float
    agreement: float
    accuracy: float


def require_kernel_size(objective: Objective) -> None:
    """Raise InputError where the kernel of all samples would be too large."""
    rows = objective.samples * objective.outputs
    if rows > LARGEST:
        most = LARGEST // objective.outputs
        raise InputError(
            f"the kernel of {objective.samples:,} samples and {objective.outputs} logits has {rows:,} rows, more than"
            f" {LARGEST:,}; set data.samples to {most:,} or less, or leave the kernel out (hierarchy.kernel=false)"
        )


def empirical_kernel(objective: Objective, pool: Runner | None = None) -> Array:
    """J Jᵀ, (N C, N C), logits of a sample side by side; computed some samples' columns at a time.

    Cost: with b the samples whose gradients fit into ``SUMS_BYTES``, N/b times C backward passes of every sample.

    Raises:
        InputError: N C is above 10,000.
    """
    require_kernel_size(objective)
    runner = pool if pool is not None else LocalRunner()
    N, C, P = objective.samples, objective.outputs, objective.parameters
    together = max(1, SUMS_BYTES // (8 * C * max(P, N * C)))
    kernel = np.empty((N * C, N * C))
    for first in range(0, N, together):
        count = min(together, N - first)
        (rows,) = runner.map_blocks(objective, gradient_rows, (first, count))
        (columns,) = runner.map_blocks(objective, kernel_columns, (rows.reshape(count * C, P),))
        kernel[:, first * C : (first + count) * C] = columns.reshape(N * C, count * C)
    return kernel


def dual_eigenvalues(kernel: Array, logits: Array) -> Array:
    """The min(N C, …) eigenvalues of G with cross-entropy, descending, from the kernel and the logits (N, C); no pass.

    All of them but zeros; weight decay has no part in it. Cost: of order (N C)³, on the driver.
    """
    N, C = logits.shape
    p_NC = np.exp(logits - logits.max(1, keepdims=True))
    p_NC /= p_NC.sum(1, keepdims=True)
    # Columns √p_c (e_c − p): L Lᵀ = diag p − p pᵀ.
    L_NCC = (np.eye(C) - p_NC[:, :, None]) * np.sqrt(p_NC)[:, None, :]
    half = np.einsum("anb,nbc->anc", kernel.reshape(N * C, N, C), L_NCC).reshape(N, C, N * C)
    dual = np.einsum("nbc,nba->nca", L_NCC, half).reshape(N * C, N * C) / N
    values: Array = np.linalg.eigvalsh((dual + dual.T) / 2)[::-1]
    return values


def kernel_drift(kernel: Array, first: Array) -> KernelDrift:
    """How far ``kernel`` is from ``first``."""
    norms = np.linalg.norm(kernel), np.linalg.norm(first)
    alignment = float(np.vdot(kernel, first) / (norms[0] * norms[1]))
    return KernelDrift(float(np.linalg.norm(kernel - first) / norms[1]), alignment)


def linearised(there: Objective, here: Objective, pool: Runner | None = None) -> Linearised:
    """The network linearised at the weights of ``there``, moved to those of ``here``, beside the network at ``here``.

    Parameters the objective is no function of, and buffers, are taken as they are at each. Cost: four forward and two
    backward passes.
    """
    runner = pool if pool is not None else LocalRunner()
    step_P = (here.theta.double() - there.theta.double()).to(there.dtype)
    (moved,) = runner.map_blocks(there, linearised_rows, (step_P.numpy(),))
    start, end = (first_logits(o, o.samples, runner) for o in (there, here))
    labels = here.data.take(np.arange(here.samples))[1]
    travelled = float(np.linalg.norm(end - start))
    return Linearised(
        error=float(np.linalg.norm(moved - end)) / travelled if travelled else 0.0,
        agreement=float((moved.argmax(1) == end.argmax(1)).mean()),
        accuracy=float((moved.argmax(1) == labels).mean()),
    )
