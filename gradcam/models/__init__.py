"""Models by id, with their weights, labels and preprocessing, or from a checkpoint of one's own."""
