"""Cross-entropy together with the multi-similarity loss: the MTML system (Chen et al., 2021)."""
