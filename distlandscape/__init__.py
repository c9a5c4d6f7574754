"""Local geometry of neural-network loss surfaces, measured at scale."""
