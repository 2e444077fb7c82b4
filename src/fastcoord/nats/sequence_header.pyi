"""Only C functions, for ``cimport``."""
