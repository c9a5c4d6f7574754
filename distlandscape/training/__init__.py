"""Training in full space, seeded and repeatable bit for bit."""

from distlandscape.training.sgd import checkpoint_steps, train

__all__ = ["checkpoint_steps", "train"]
