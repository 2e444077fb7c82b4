"""Copy numbers to columns. All functions are C functions, which only ``cimport`` can reach."""
