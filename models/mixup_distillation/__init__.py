"""Mixup distillation with causal hierarchy (Baeg et al. 2023): sex and age of who speaks, from a small network."""
