"""Measure a bus under load, and choose capacities from the measurements.

The parts of ``fastcoord bench`` and ``fastcoord tune``. One run starts publishers and subscribers
in processes of their own (:mod:`run`, :mod:`worker`) on a subject that nothing else uses. The
arithmetic is in :mod:`sizing`, the measured search in :mod:`search`.
"""
