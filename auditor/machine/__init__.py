"""What depends on the machine: compiled kernels and their machine code, child processes, programs of others."""
