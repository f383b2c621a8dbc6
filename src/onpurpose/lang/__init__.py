"""How policies are written: YAML text in, `Policy` out."""
