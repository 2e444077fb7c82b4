"""Servers beside the real one, and what a server needs: certificates and users."""
