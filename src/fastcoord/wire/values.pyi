"""Read the values of events. All functions are C functions, which only ``cimport`` can reach."""
