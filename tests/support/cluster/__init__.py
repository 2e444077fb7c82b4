"""Nodes of a test, and the sums that their statistics must add up to."""
