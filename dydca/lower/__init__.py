"""From static graphs to native code: groups, layouts, kernels, memory, the plan in C, and the tool chain."""
