"""All learners of a team as one program: the same functions as for one learner, run by `torch.func.vmap`."""
