"""Order, retries, parallelism and the command line. Everything that decides is elsewhere."""
