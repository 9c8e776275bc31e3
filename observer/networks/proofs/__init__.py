"""What a network guarantees, and how the guarantee is proved from its explicit matrices."""
