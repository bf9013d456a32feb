"""
The verb `metrics`: what a store knows of the migration and its whole fleet, for Prometheus.
"""

import time
from collections.abc import Iterator
from typing import Final

import click
from prometheus_client import CollectorRegistry, Metric, generate_latest, start_http_server

from cutover.cli.failures import ExitCode
from cutover.cli.options import looking
from cutover.cli.session import Session
from cutover.clock import utc_now
from cutover.errors import ConfigurationError, StoreError
from cutover.operations.control import Control
from cutover.router.metrics.fleet_gauges import FleetGauges
from cutover.router.metrics.instruments import instruments_on
from cutover.router.metrics.telemetry import Telemetry

__all__ = ["VERBS"]

EVERY: Final = 2.0  # seconds between two looks at the store
LOOPBACK: Final = "127.0.0.1"


class Shown(CollectorRegistry):
    """
    A registry that shows nothing of what has no value: counts belong to the processes that route.
    """

    def collect(self) -> Iterator[Metric]:
        """
        Give the metrics that have samples.
        """
        return (metric for metric in super().collect() if metric.samples)


class Exporter:
    """
    The gauges of one migration on a registry of their own, taken from its store.
    """

    def __init__(self, control: Control) -> None:
        self.registry: Shown = Shown()
        self._control = control
        self._telemetry = Telemetry(instruments_on(self.registry), tuple, tuple, None)
        self._fleet = FleetGauges(self.registry)

    def refresh(self) -> None:
        """
        Look at the store once.

        Raises:
            StoreError: If it does not answer; the gauges then say so, and keep what they had.
        """
        try:
            fleet = self._control.fleet()
            snapshot = self._control.snapshot()
        except StoreError:
            self._telemetry.show_health(store_up=False, regressed=False)
            raise
        self._telemetry.show_snapshot(snapshot)
        self._telemetry.confirm()
        self._telemetry.show_health(store_up=True, regressed=False)
        self._fleet.show(snapshot, fleet, now=utc_now())


def address(value: str) -> tuple[str, int]:
    """
    Read ``PORT`` or ``HOST:PORT``; without a host, this machine alone is meant.
    """
    host, _, port = value.rpartition(":")
    if not port.isdecimal() or not 0 < int(port) < 1 << 16:
        raise click.BadParameter(f"{value!r} is no address; allowed: PORT or HOST:PORT")
    return host.strip("[]") or LOOPBACK, int(port)


@click.command("metrics")
@click.option("--listen", type=address, metavar="[HOST:]PORT", help="Serve them until stopped; else print them once.")
@looking
def metrics_(session: Session, listen: tuple[str, int] | None) -> int:
    """
    Show what the store knows of the fleet, in Prometheus's text format.

    Shares, progress, the forecast and the state of the instances; requests are counted by the processes that route.
    """
    with session.opened() as control:
        exporter = Exporter(control)
        exporter.refresh()
        if listen is None:
            session.print_raw(generate_latest(exporter.registry).decode().removesuffix("\n"))
        else:
            _serve(session, exporter, *listen)
    return ExitCode.DONE


def _serve(session: Session, exporter: Exporter, host: str, port: int) -> None:
    try:
        server, thread = start_http_server(port, host, exporter.registry)
    except OSError as error:
        raise ConfigurationError(f"cannot listen on {host}:{port}: {error.strerror or error}") from error
    session.note(f"serving http://{host}:{port}/metrics; Ctrl-C ends it")
    try:
        while thread.is_alive():
            time.sleep(EVERY)
            try:
                exporter.refresh()
            except StoreError as error:
                session.note(str(error))
    finally:
        server.shutdown()


VERBS: Final = (metrics_,)
