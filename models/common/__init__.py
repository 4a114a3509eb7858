"""What networks are built from: features, and the networks that several systems share."""
