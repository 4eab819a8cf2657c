"""One thin script a stage: read, work, write, one line of log."""
