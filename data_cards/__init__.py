"""Templates of data cards."""
