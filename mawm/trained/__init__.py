"""A trained team: evaluated under other conditions, compared with published results, exported."""
