"""A workspace of the settings' desks, and its admin: of the desks that a module opens."""

from __future__ import annotations

import pytest

from tests.dashboard.desks import Browser, Desks, Place


@pytest.fixture
def place(desks: Desks) -> Place:
    return desks.workspace()


@pytest.fixture
def admin(place: Place) -> Browser:
    return place.browser("ann")
