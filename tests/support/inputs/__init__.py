"""Events, payloads, frames and configuration texts that tests use as input."""
