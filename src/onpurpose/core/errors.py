"""The root of everything that is raised on purpose."""

from __future__ import annotations


class OnPurposeError(Exception):
    """An error for the operator: something outside a policy's or a call's control went wrong."""
