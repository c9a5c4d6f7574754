"""What the random model predicts, and the random matrices behind it; numpy and scipy only."""
