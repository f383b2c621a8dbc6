"""The same service as that of the JSON resources."""

from __future__ import annotations

from tests.server.api.conftest import house, office, stranger, tenant

__all__ = ["house", "office", "stranger", "tenant"]
