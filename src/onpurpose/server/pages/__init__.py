"""The pages where people decide: plain HTML without a script, readable on a phone."""
