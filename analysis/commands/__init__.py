"""What the command line runs: one file a command. They reach out; nothing imports them but it."""
