"""What follows training: maps, embeddings, selections, paths, validation."""
