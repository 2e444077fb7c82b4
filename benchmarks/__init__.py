"""Benchmarks of fastcoord, side by side with alternatives for Python programs."""
