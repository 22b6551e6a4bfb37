"""Overfitting: from a video to a package, in steps that survive interruptions."""
