"""Training in full space: seeded, repeatable and resumable bit for bit."""

from distlandscape.training.loop import TrainingState, checkpoint_steps, train

__all__ = ["TrainingState", "checkpoint_steps", "train"]
