"""Training in full space, seeded and repeatable bit for bit, interrupted or not."""

from distlandscape.training.checkpoints import checkpoint_steps, curve_steps
from distlandscape.training.loop import train
from distlandscape.training.schedule import learning_rate_at
from distlandscape.training.state import Journal, State

__all__ = ["Journal", "State", "checkpoint_steps", "curve_steps", "learning_rate_at", "train"]
