"""What an attacker tries, and the outcome each attempt must have (docs/security.md)."""
