"""Scripts that run in a process of their own, and what starts and watches them."""
