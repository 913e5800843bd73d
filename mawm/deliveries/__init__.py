"""Who gets which message: the real channel, and controls that deliver as many bytes of something else."""
