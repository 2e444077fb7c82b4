"""Prepare events. All functions are C functions, which only ``cimport`` can reach."""
