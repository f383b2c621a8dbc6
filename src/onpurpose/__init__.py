"""Decides whether an AI agent's tool call may run, and can prove why."""
