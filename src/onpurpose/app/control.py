"""All that one can do with the documents, keys and users of the workspaces, on one store and one log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from onpurpose.app.documents import Library
from onpurpose.app.keys import Keyring
from onpurpose.app.outbox import Post
from onpurpose.app.promotion import Promotions
from onpurpose.app.shadow import Rollups
from onpurpose.app.shelf import Shelf
from onpurpose.ports import Access, Clock, Documents, Ledger, Outbox


@dataclass(frozen=True, slots=True, kw_only=True)
class Control:
    """The uses of a store. Synchronous and thread-safe; whoever asks is known and permitted already."""

    shelf: Shelf
    library: Library
    promotions: Promotions
    keyring: Keyring
    post: Post


def control(  # noqa: PLR0913  these are its parts
    documents: Documents,
    outbox: Outbox,
    access: Access,
    rollups: Rollups,
    ledger: Ledger,
    *,
    clock: Clock,
    new_id: Callable[[int], str],
    delivered: Callable[[], None] = lambda: None,
) -> Control:
    """The uses of a store whose changes are told of in that log.

    `delivered` is called after a change, before it is answered: what this process holds of the store in
    memory (what is in force, the keys) is to be taken up anew then. Call `post.drain` at the start.
    """
    post = Post(outbox, ledger, delivered=delivered)
    shelf = Shelf(documents)
    library = Library(documents, shelf, post, clock=clock, new_id=new_id)
    return Control(
        shelf=shelf,
        library=library,
        promotions=Promotions(library, shelf, rollups),
        keyring=Keyring(access, post, clock=clock, new_id=new_id),
        post=post,
    )
