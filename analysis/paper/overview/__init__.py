"""Quality, bytes and milliseconds at a glance: the first page."""
