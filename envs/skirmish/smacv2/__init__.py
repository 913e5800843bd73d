"""SMACv2's maps on the embedded engine: the kinds and places of units are drawn for each battle."""
