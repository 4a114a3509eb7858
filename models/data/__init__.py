"""What a network is trained on: the utterances of a split, what makes a batch of them, and their samples."""
