"""Speech and speaker recognition in one wav2vec 2.0 (Vaessen and van Leeuwen 2023)."""
