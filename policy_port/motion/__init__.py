"""Reference motions: clips read strictly into one form, resampled, and the poses of links that they imply."""
