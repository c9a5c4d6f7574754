"""Several runs on one page: what differs between them, and what they have in common laid over each other."""
