"""What the command line runs: one file a command. They reach out; nothing imports them but it.

`locate` (where a named model comes from) and `work` (cache and progress) are what several share.
"""
