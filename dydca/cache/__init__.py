"""Compiled networks kept on disk, found again by all that decides what they are."""
