"""Compiled kernels: their decorators, and the machine code that is kept of them."""
