"""A network of the user's own that waits, in the middle of its training, while a file says so."""

import time
from pathlib import Path

from torch import nn

BATCHES = 20  # after which it waits


class Gate(nn.Module):
    """Passes its input on; at one batch it says that it is there, and waits while ``hold`` exists."""

    def __init__(self, hold):
        super().__init__()
        self.hold, self.batches = Path(hold), 0

    def forward(self, inputs):
        self.batches += 1
        if self.batches == BATCHES and self.hold.exists():
            self.hold.with_suffix(".reached").touch()
            while self.hold.exists():
                time.sleep(0.05)
        return inputs


def mlp(hold):
    return nn.Sequential(Gate(hold), nn.Flatten(), nn.Linear(64, 32), nn.ReLU(), nn.Linear(32, 10))
