"""Age groups by adversarial multi-task learning (Baeg et al., 2023)."""
