"""Faults struck into whole runs: every one is to end in the numbers of an undisturbed run, to the bit."""
