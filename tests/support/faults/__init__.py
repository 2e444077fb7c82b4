"""What goes wrong on a network, done on purpose and repeatably."""
