"""Movies: packages of a small video and the networks that enlarge it, played, written as videos, and measured."""
