"""Networks that listen: pretrained encoders, and the systems that are trained on a curated split."""
