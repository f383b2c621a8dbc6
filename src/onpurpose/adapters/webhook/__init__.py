"""Webhooks: what becomes of approvals, told to other programs, signed."""
