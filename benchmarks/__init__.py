"""Measurements of fastcoord, side by side with what else a Python program could use."""
