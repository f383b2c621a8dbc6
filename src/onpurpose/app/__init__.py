"""What one can do: one module per use."""
