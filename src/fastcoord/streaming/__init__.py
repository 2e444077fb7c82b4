"""Events through a JetStream stream (internal)."""
