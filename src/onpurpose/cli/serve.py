"""`onpurpose serve`: one process of the control plane."""

from __future__ import annotations

import contextlib
import gc
import ipaddress
import logging
from collections.abc import Iterator
from pathlib import Path

import click

from onpurpose.cli.output import Exit, debug_option, fail, say
from onpurpose.core.errors import OnPurposeError


def _networks(context: click.Context, _: click.Parameter, given: tuple[str, ...]) -> tuple[str, ...]:
    for text in given:
        try:
            ipaddress.ip_network(text)
        except ValueError:
            cure = "name an address, or a network as `10.0.0.0/8` with no bits beside its own"
            raise click.BadParameter(f"`{text[:100]}` is no address: {cure}", context) from None
    return given


@click.command("serve")
@click.option("--database", default="onpurpose.db", show_default=True, metavar="PATH|URL",
              help="A file, or postgresql://USER:PASSWORD@HOST/NAME.", envvar="ONPURPOSE_DATABASE")  # fmt: skip
@click.option("--host", default="127.0.0.1", show_default=True, help="Where to listen.")
@click.option("--port", default=8080, show_default=True, type=click.IntRange(0, 65535), help="0 is any free one.")
@click.option("--directory", metavar="DIR", help="Where files of this host lie. Default: beside the database's file.")
@click.option("--archive-folder", metavar="DIR", help="Where days of a log in PostgreSQL lie that were archived.")
@click.option("--issuer", default="onpurpose", show_default=True, help="The service's name in tokens, best its URL.")
@click.option("--cors-origin", "origins", multiple=True, help="An origin whose pages may ask. Repeatable.")
@click.option("--trusted-proxy", "proxies", multiple=True, metavar="ADDRESS", callback=_networks,
              help="A proxy's address, or network, that is believed whom it speaks for. Repeatable.")  # fmt: skip
@click.option("--per-minute", type=click.IntRange(1), help="The rate limit of keys without one of their own.")
@click.option("--certificate", type=click.Path(exists=True, path_type=Path), help="PEM file, for TLS.")
@click.option("--key", type=click.Path(exists=True, path_type=Path), help="PEM file of the certificate's key.")
@debug_option
def serve(  # noqa: PLR0913, PLR0917  these are its settings
    database: str,
    host: str,
    port: int,
    directory: str | None,
    archive_folder: str | None,
    issuer: str,
    origins: tuple[str, ...],
    proxies: tuple[str, ...],
    per_minute: int | None,
    certificate: Path | None,
    key: Path | None,
) -> Exit:
    """Serve decisions over HTTP, with everything they need in one database.

    The first start on an empty database makes an admin key and prints it, once. What keys and tokens
    are sealed with is `ONPURPOSE_SECRET`, or a file that is made where there is none.
    """
    with _uncollected():
        try:
            from onpurpose.place import Options  # noqa: PLC0415  as above
            from onpurpose.server import listening  # noqa: PLC0415
            from onpurpose.server.build import build, run  # noqa: PLC0415  an extra, and slow to import
            from onpurpose.server.limits import PER_MINUTE  # noqa: PLC0415
            from onpurpose.server.services import Settings  # noqa: PLC0415
            from onpurpose.service import Service  # noqa: PLC0415
        except ModuleNotFoundError as error:
            fail(f"`{error.name}` is not installed", "pip install 'onpurpose[server]'")
        logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
        logging.getLogger("alembic").setLevel(logging.WARNING)
        settings = Settings(cors_origins=origins, trusted_proxies=proxies, per_minute=per_minute or PER_MINUTE)
        options = Options(
            database=database, directory=directory, archive_folder=archive_folder, issuer=issuer, settings=settings,
            feed_apart=True,
        )  # fmt: skip
        try:
            sockets = listening.bind(host, port)
        except OSError as error:
            fail(f"`{host}:{port}` cannot be listened on: {error.strerror}", "name another with `--host` and `--port`")
        try:
            service = Service(options)
        except OnPurposeError as error:
            for one in sockets:
                one.close()
            fail(str(error))
    if service.first_key is not None:
        say("A key with every right was made. It is shown this once; keep it where secrets are kept:")
        say(f"\n  {service.first_key.secret}\n")
    run(build(service.services), sockets, certificate=certificate, key=key)
    return Exit.FINE


@contextlib.contextmanager
def _uncollected() -> Iterator[None]:
    """Within, the collector rests, and what was made is none of its concern afterwards.

    What a start loads stays: to go through it again and again takes the start's time, and later that of calls.
    """
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        gc.enable()
