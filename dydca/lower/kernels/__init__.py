"""Kernel templates: frozen parameters that emit one TIR function each. Equal kernels are emitted once."""
