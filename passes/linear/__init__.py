"""The algebra of linear operators, on which several passes stand; no pass lies here."""
