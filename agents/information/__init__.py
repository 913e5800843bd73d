"""The information term: how much imagined observations would tell, as a reward of its own."""
