"""The lab wing: the real modules that the closed forms describe."""
