"""The receiving side of a node without a network."""
