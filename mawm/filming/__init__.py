"""Films of battles: what is recorded of them, pictures of the field, and animated GIFs."""
