"""Nothing of this module is for Python: its functions are reached by cimport."""
