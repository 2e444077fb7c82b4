"""The receiving side of a node, used without a network."""
