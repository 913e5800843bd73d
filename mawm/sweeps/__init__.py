"""Many runs of the main command: their plan, what became of each, and running what is missing."""
