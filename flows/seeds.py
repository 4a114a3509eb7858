"""What is drawn beside a seed of the user's, `default_rng([seed, ONE_OF_THESE])`: no two draws may be of one stream."""

SPLIT = 1
TRIALS = 2
INTERVALS = 3  # of a list's figures
INTERVALS_OF_PLANTING = 4
AUDIT = 5
COMPARISON = 6
HELD_OUT = 7
