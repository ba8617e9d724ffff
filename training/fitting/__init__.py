"""From labelled chips or embeddings to trained weights."""
