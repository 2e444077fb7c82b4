"""A coordination bus for clusters of Python processes over NATS."""
