"""This module has only C functions, for ``cimport``."""
