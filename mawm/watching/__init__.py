"""A trained team on a page: recorded battles, beliefs, imagined futures and broadcasts."""
