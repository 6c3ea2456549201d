"""Order books: the matching kernels, the continuous venue and the batch auction."""
