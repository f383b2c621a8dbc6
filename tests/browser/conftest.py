"""A page that shows every macro of the templates, for the tests of these."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.browser.gallery import gallery
from tests.browser.serving import served


@pytest.fixture(scope="session")
def gallery_url() -> Iterator[str]:
    """A service whose page `/_gallery` shows every macro in every state."""
    with served(gallery()) as url:
        yield url
