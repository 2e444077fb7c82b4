"""Which nodes are up: hellos, heartbeats, questions and answers on the presence subject.

Nothing here runs per event. The parts that decide are pure logic: the caller hands in the time and
the random numbers. ``presence`` connects them with the node's connection.
"""
