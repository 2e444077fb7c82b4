"""The same faults on the bus in memory and on real servers, for tests that compare the two."""
