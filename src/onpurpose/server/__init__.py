"""HTTP: the decision service. `build` puts its parts together, `evaluate` is its hot path."""
