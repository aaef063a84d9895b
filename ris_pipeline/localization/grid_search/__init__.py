"""Looking over a grid of places: the grid, the next source on it, peaks of a spectrum."""
