"""From C and object files to libraries and programs of any target, and the proof that they are as promised."""
