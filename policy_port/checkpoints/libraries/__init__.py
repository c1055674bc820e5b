"""One file per training library."""
