"""A small zoo, lookup by name or import path, and weights files."""

from distlandscape.models.lookup import build_model
from distlandscape.models.weights import load_weights, save_weights, weights_sha256
from distlandscape.models.zoo import cnn, mlp

__all__ = ["build_model", "cnn", "load_weights", "mlp", "save_weights", "weights_sha256"]
