"""Slow, obvious versions of what the package does, and comparisons with them."""
