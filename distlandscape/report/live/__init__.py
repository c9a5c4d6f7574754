"""The page of a run that is still going: read from its run directory, served on loopback."""
