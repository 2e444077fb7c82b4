"""Small servers for single tests, and the certificates and users of real ones."""
