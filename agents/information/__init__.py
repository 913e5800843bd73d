"""The information term: the information gain of imagined observations, as an intrinsic reward."""
