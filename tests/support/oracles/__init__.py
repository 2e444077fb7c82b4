"""Slow and simple versions of compiled modules, and comparisons with them."""
