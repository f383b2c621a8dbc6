"""The callers' side: one module per framework; none knows another."""
