"""What a node reports of itself in stats and log lines."""
