"""What the command line calls: one file a command, each prints what it does."""
