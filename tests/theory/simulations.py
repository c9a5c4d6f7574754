"""Spiked matrices drawn at random, beside what the formulas say of them."""

from __future__ import annotations

import numpy as np

from distlandscape.theory import (
    additive_spike,
    goe_spike,
    multiplicative_spike,
    rectangular_spike,
    spiked_covariance,
    wishart_spike,
)

THETA, RATIO = 1.8, 0.5


def unit(rng, n):
    v = rng.standard_normal(n)
    return v / np.linalg.norm(v)


def top(A, v):
    values, vectors = np.linalg.eigh(A)
    return values[-1], (vectors[:, -1] @ v) ** 2


def goe(rng, n):
    G = rng.standard_normal((n, n))
    v = unit(rng, n)
    predicted = goe_spike(THETA)
    return top((G + G.T) / np.sqrt(2 * n) + THETA * np.outer(v, v), v), (predicted.value, predicted.overlap)


def covariance(rng, n):
    p = int(RATIO * n)
    v = unit(rng, p)
    X = rng.standard_normal((n, p)) @ (np.eye(p) + (np.sqrt(1 + THETA) - 1) * np.outer(v, v))
    predicted = spiked_covariance(1 + THETA, RATIO)
    return top(X.T @ X / n, v), (predicted.value, predicted.overlap)


def wishart(rng, n):
    p = int(RATIO * n)
    X, v = rng.standard_normal((n, p)), unit(rng, p)
    predicted = wishart_spike(THETA, RATIO)
    return top(X.T @ X / n + THETA * np.outer(v, v), v), (predicted.value, predicted.overlap)


def two_bumps(rng, n):
    """A bulk no theory knows: its own eigenvalues are all that is given."""
    Q = np.linalg.qr(rng.standard_normal((n, n)))[0]
    bulk = np.concatenate([np.linspace(0.5, 1, n // 2), np.linspace(2, 3, n - n // 2)])
    return (Q * bulk) @ Q.T, bulk


def additive(rng, n):
    A, bulk = two_bumps(rng, n)
    v = unit(rng, n)
    predicted = additive_spike(2 * THETA, bulk)
    return top(A + 2 * THETA * np.outer(v, v), v), (predicted.value, predicted.overlap)


def multiplicative(rng, n):
    A, bulk = two_bumps(rng, n)
    v = unit(rng, n)
    R = np.eye(n) + (np.sqrt(1 + 2 * THETA) - 1) * np.outer(v, v)
    predicted = multiplicative_spike(2 * THETA, bulk)
    return top(R @ A @ R, v), (predicted.value, predicted.overlap)


def rectangular(rng, n):
    p = int(RATIO * n)
    u, v = unit(rng, n), unit(rng, p)
    left, values, right = np.linalg.svd(
        rng.standard_normal((n, p)) / np.sqrt(n) + THETA * np.outer(u, v), full_matrices=False
    )
    predicted = rectangular_spike(THETA, RATIO)
    measured = (values[0], (left[:, 0] @ u) ** 2, (right[0] @ v) ** 2)
    return measured, (predicted.value, predicted.left, predicted.right)


CASES = {f.__name__: f for f in (goe, covariance, wishart, additive, multiplicative, rectangular)}


def errors(name, n, draws, seed=0):
    """Root mean square relative error of the position, and absolute ones of the overlaps."""
    rng = np.random.default_rng([seed, n])
    differences = []
    for _ in range(draws):
        measured, predicted = (np.array(side) for side in CASES[name](rng, n))
        scale = np.array([predicted[0], *np.ones(len(predicted) - 1)])
        differences.append((measured - predicted) / scale)
    return np.sqrt(np.mean(np.square(differences), 0))
