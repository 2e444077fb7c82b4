"""Scripts that run in processes of their own, and the classes that start and control them."""
