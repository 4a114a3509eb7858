"""Building and scoring benchmarks from a curated catalog."""
