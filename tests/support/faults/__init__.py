"""Network faults, made on purpose and repeatable."""
