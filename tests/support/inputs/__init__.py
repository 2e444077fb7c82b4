"""Events, payloads, frames and texts to try things on."""
