"""What came out of runs: loading, aggregating, drawing and telling; knows run folders, never agents or environments."""
