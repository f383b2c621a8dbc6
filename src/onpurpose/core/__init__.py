"""What is true: values and pure functions. Nothing here reads a clock, a file or a random number."""
