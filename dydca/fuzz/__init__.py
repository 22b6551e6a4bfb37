"""Random networks against PyTorch: what the compiler computes, and what it refuses, is checked on all of them."""
