"""The random model that fits a measured network: σ_c, σ_E, σ_z from cosines, lengths and logits; numpy only.

Softmax does not change when a constant is added to all logits of a sample, so what the gradients of all logits share
has no part in G. A network's logit gradients may share a lot, the model's share nothing: it is taken out first. With
T = E|∇z|²/D, q between logits k ≠ l of different samples (q_DL) and of one sample (q_same),

    σ_c² = T (q_SL − q_DL),   σ_E² = T (1 − q_same) − σ_c²,   σ_d² = T (q_SLSC − q_SLDC).

For gradients drawn from the model itself q_DL = q_same = 0 up to chance, and these are the model's own relations.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from distlandscape.errors import InputError
from distlandscape.theory.random_model import RandomModel
from distlandscape.theory.softmax import require_classes, require_scale, require_size


@dataclass(frozen=True)
class Fit:
    """Scales of the random model, in the units of its dimension D = P.

    Attributes:
        sigma_c: of the cluster means c_k; 0 where gradients of one logit agree no better than those of two.
        sigma_e: of what scatters around them.
        sigma_z: of the logits.
        sigma_d: of what logit k shares over the examples of one true class; measured, but no part of the prediction.
        shared: share of E|∇z|² that all logits of a sample have in common, and softmax does not see.
    """

    sigma_c: float
    sigma_e: float
    sigma_z: float
    sigma_d: float
    shared: float

    def model(self, classes: int, examples: int, dim: int, seed: int = 0) -> RandomModel:
        """The random model with these scales, labels sampled from p, σ_d left out.

        Raises:
            InputError: sizes that are not positive, or gradients that all vanish.
        """
        return RandomModel(classes, examples, dim, self.sigma_c, self.sigma_e, self.sigma_z, seed=seed)


def fit_random_model(
    classes: int,
    dim: int,
    *,
    mean_square_length: float,
    q_sl: float,
    q_slsc: float,
    q_sldc: float,
    q_dl: float,
    q_same: float,
    sigma_z: float,
) -> Fit:
    """Fit the random model of Fort & Ganguli (2019), section 4, to what was measured.

    Args:
        classes: C ≥ 2.
        dim: D, the number of parameters.
        mean_square_length: E|∇z_k|² over samples and logits.
        q_sl: mean cosine, same logit, two samples.
        q_slsc: the same, both samples of the logit's class.
        q_sldc: the same, samples of different classes.
        q_dl: mean cosine of two logits, two samples.
        q_same: mean cosine of two logits of one sample.
        sigma_z: root of the mean variance over the logits of a sample.

    Raises:
        InputError: C below 2, no dimension, a negative length or σ_z, or a cosine outside −1…1.
    """
    require_classes(classes)
    require_size("dim", dim)
    require_scale("mean_square_length", mean_square_length)
    require_scale("sigma_z", sigma_z)
    cosines = {"q_sl": q_sl, "q_slsc": q_slsc, "q_sldc": q_sldc, "q_dl": q_dl, "q_same": q_same}
    for name, value in cosines.items():
        if not -1 - 1e-9 <= value <= 1 + 1e-9:
            raise InputError(f"{name}={value!r} is no mean of cosines, which lie between −1 and 1; correct it")
    total = mean_square_length / dim
    clustered = max(0.0, q_sl - q_dl)
    scattered = max(0.0, 1 - q_same - clustered)
    return Fit(
        sigma_c=math.sqrt(total * clustered),
        sigma_e=math.sqrt(total * scattered),
        sigma_z=sigma_z,
        sigma_d=math.sqrt(total * max(0.0, q_slsc - q_sldc)),
        shared=q_same,
    )
