"""
The verb `serve`: a relay in front of a store.
"""

import ipaddress
import os
from pathlib import Path
from typing import Any, Final

import click

from cutover.cli.failures import ExitCode
from cutover.cli.metrics import address
from cutover.cli.options import looking, outbox_option
from cutover.cli.session import Session
from cutover.engines.registry import open_store
from cutover.errors import ConfigurationError
from cutover.operations.mirroring import Mirrors
from cutover.ports.store import Store
from cutover.router.background.cache import default_folder

__all__ = ["VERBS"]

TOKENS: Final = "CUTOVER_TOKENS"
OFF: Final = "off"
STATE: Final = "relay"


def _hash_token(context: click.Context, parameter: click.Parameter, value: str | None) -> None:
    """
    Make a token and end, without looking at what else would be needed.
    """
    del parameter
    if value is None or context.resilient_parsing:
        return
    access = _server("access")
    role, _, name = value.partition(":")
    roles = {member.name.lower(): member for member in access.Role}
    if role not in roles:
        raise ConfigurationError(f"{value!r} is no ROLE:NAME; allowed roles: {', '.join(roles)}")
    text, token = access.new_token(roles[role], name)
    click.echo(f"token, for CUTOVER_TOKEN of its holder: {text}")
    click.echo(f"line, for the relay's token file:       {token}")
    context.exit(ExitCode.DONE)


@click.command("serve")
@click.option(
    "--listen", type=address, default="127.0.0.1:8321", metavar="[HOST:]PORT", help="Where; else 127.0.0.1:8321."
)
@click.option(
    "--tokens",
    type=click.Path(path_type=Path, dir_okay=False),
    envvar="CUTOVER_TOKEN_FILE",
    show_envvar=True,
    metavar="FILE",
    help=f"Lines ROLE:NAME:SHA256; or the lines themselves in {TOKENS}.",
)
@click.option("--tls-cert", type=click.Path(path_type=Path), metavar="FILE", help="The certificate and its chain.")
@click.option("--tls-key", type=click.Path(path_type=Path), metavar="FILE", help="Its key.")
@click.option(
    "--state",
    envvar="CUTOVER_STATE",
    show_envvar=True,
    metavar="FOLDER",
    help="What must outlive the process; else below the user's cache folder; off for nothing.",
)
@click.option(
    "--connections",
    type=click.IntRange(min=1),
    default=4096,
    show_default=True,
    metavar="N",
    help="How many there may be; who comes then is asked to come again.",
)
@click.option(
    "--hash-token",
    callback=_hash_token,
    expose_value=False,
    is_eager=True,
    metavar="ROLE:NAME",
    help="Make a token and the line that admits it, and end.",
)
@outbox_option
@looking
def serve_(
    session: Session,
    listen: tuple[str, int],
    tokens: Path | None,
    tls_cert: Path | None,
    tls_key: Path | None,
    state: str | None,
    connections: int,
    outbox: str | None,
) -> int:
    """
    Serve a store to routers that may not reach it, also while it is away.
    """
    if not session.store:
        raise click.UsageError("which store? Give --store URL or set CUTOVER_STORE")
    if (tls_cert is None) is not (tls_key is None):
        raise click.UsageError("--tls-cert and --tls-key go together")
    app, access, running = _server("app"), _server("access"), _server("running")
    known = access.parse_tokens(*_token_lines(tokens))
    _check_exposure(session, listen[0], is_open=not known)
    listening = running.Listening(host=listen[0], port=listen[1], certificate=tls_cert, key=tls_key)
    store = open_store(session.store)
    if not isinstance(store, Store):
        raise ConfigurationError(f"{store.url} is only read, and takes no check-ins; allowed: a store")
    mirrors = Mirrors.of(outbox, session.store)
    mirrors.open()
    listener = running.bound(listening)
    try:
        application = app.create_app(
            store=store, tokens=known, folder=_folder(state), mirrors=mirrors, connections=connections
        )
        host, port = listener.getsockname()[:2]
        scheme = "http" if tls_cert is None else "https"
        session.note(f"serving {store.url} on {scheme}://{host}:{port}; Ctrl-C ends it")
        running.serve(application, listener, listening)
    finally:
        listener.close()
        mirrors.close()
        store.close()
    return ExitCode.DONE


def _server(name: str) -> Any:
    """
    Load a part of the server.

    Raises:
        ConfigurationError: If its extra is not installed.
    """
    from importlib import import_module  # noqa: PLC0415 - only these verbs need it

    try:
        return import_module(f"cutover.server.{name}")
    except ModuleNotFoundError as error:
        install = "pip install 'cutover-controller[server]'"
        raise ConfigurationError(f"serve needs {error.name}, which is missing: {install}") from error


def _token_lines(file: Path | None) -> tuple[str, str]:
    if file is None:
        return os.environ.get(TOKENS, "").replace(" ", "\n"), TOKENS
    try:
        return file.read_text(encoding="utf-8"), str(file)
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"the token file {file} cannot be read: {error}") from error


def _check_exposure(session: Session, host: str, *, is_open: bool) -> None:
    """
    Let nobody serve a fleet's controls to a network by mistake.
    """
    if not is_open:
        return
    if not _is_loopback(host):
        raise ConfigurationError(
            f"without tokens a relay listens on this machine only, not on {host}; give --tokens FILE, "
            "with lines that `cutover serve --hash-token ROLE:NAME` makes"
        )
    session.note("no tokens are configured: everybody on this machine may read and change")


def _is_loopback(host: str) -> bool:
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def _folder(state: str | None) -> Path | None:
    if state == OFF:
        return None
    if state:
        return Path(state)
    cache = default_folder()
    return None if cache is None else cache / STATE


VERBS: Final = (serve_,)
