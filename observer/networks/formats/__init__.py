"""Published files: NumPy archives, BSON of the Julia package, MessagePack of Flax."""
