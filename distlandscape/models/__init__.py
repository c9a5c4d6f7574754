"""A small zoo, lookup by name or import path, and weights files."""

from distlandscape.models.convolutional import cnn, lenet
from distlandscape.models.fully_connected import mlp
from distlandscape.models.lookup import build_model
from distlandscape.models.residual import cifar_resnet, resnet18, wide_resnet
from distlandscape.models.transformer import vit
from distlandscape.models.weights import load_weights, save_weights, weights_sha256

__all__ = [
    "build_model",
    "cifar_resnet",
    "cnn",
    "lenet",
    "load_weights",
    "mlp",
    "resnet18",
    "save_weights",
    "vit",
    "weights_sha256",
    "wide_resnet",
]
