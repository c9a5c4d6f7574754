"""What the random model predicts, and the random matrices behind it; numpy and scipy only."""

from distlandscape.theory.bulks import MarchenkoPastur, Semicircle, hyperplane_semicircle, marchenko_pastur
from distlandscape.theory.fit import Fit, fit_random_model
from distlandscape.theory.gap import Gap, find_gap
from distlandscape.theory.linear import DeepLinearModes, deep_linear_modes, softmax_regression_hessian
from distlandscape.theory.planes import PlaneSpectrum, plane_spectrum
from distlandscape.theory.prediction import Prediction
from distlandscape.theory.random_model import Draw, RandomModel
from distlandscape.theory.softmax import SoftmaxMoments, freezing_scale, softmax_moments
from distlandscape.theory.spikes import (
    RectangularSpike,
    Spike,
    additive_spike,
    goe_spike,
    multiplicative_spike,
    rectangular_spike,
    spiked_covariance,
    wishart_spike,
)
from distlandscape.theory.spread import Spread, model_spread

__all__ = [
    "DeepLinearModes",
    "Draw",
    "Fit",
    "Gap",
    "MarchenkoPastur",
    "PlaneSpectrum",
    "Prediction",
    "RandomModel",
    "RectangularSpike",
    "Semicircle",
    "SoftmaxMoments",
    "Spike",
    "Spread",
    "additive_spike",
    "deep_linear_modes",
    "find_gap",
    "fit_random_model",
    "freezing_scale",
    "goe_spike",
    "hyperplane_semicircle",
    "marchenko_pastur",
    "model_spread",
    "multiplicative_spike",
    "plane_spectrum",
    "rectangular_spike",
    "softmax_moments",
    "softmax_regression_hessian",
    "spiked_covariance",
    "wishart_spike",
]
