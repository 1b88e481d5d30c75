"""Where a real task's examples come from: a data set of the hub, or files of this disk."""
