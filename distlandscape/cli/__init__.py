"""The command line: one file a command, heavy imports only when a command needs them."""
