"""Faults planted into real speech, and the account of what a rule of cleaning finds of them."""
