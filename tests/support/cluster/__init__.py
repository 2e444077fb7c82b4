"""Nodes of a test, and the sums that their stats must add up to."""
