"""`gate repair`: misses become training rows."""
