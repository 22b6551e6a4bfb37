"""Runs passes in their order, proves what they did and reports it: what the author of a pass need not know."""
