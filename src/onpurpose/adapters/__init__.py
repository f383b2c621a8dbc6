"""The world: one technology per module; none knows another."""
