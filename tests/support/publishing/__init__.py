"""Publishing without a node."""
