"""What people decided about images: ``reviews/<dataset>.csv``, keyed by content hash."""
