"""
From parameters and environment to a router: what can never work is refused, and nothing else is.
"""

import sys
from contextlib import closing
from functools import partial

import attrs
import pytest
from prometheus_client import CollectorRegistry, Gauge
from routers import FIRST, SHOP, ScriptedStore, after, events, reading
from strategies import NAME, at, perform
from structlog.testing import capture_logs

import cutover
import cutover.testing
from cutover.core.bucketing import PARTS
from cutover.core.snapshot import Snapshot
from cutover.engines.registry import open_store
from cutover.engines.sqlite.store import SqliteStore
from cutover.errors import ConfigurationError
from cutover.testing.store_helpers import until

NEW = after(at("browse", PARTS), at("purchase", PARTS))


@pytest.fixture
def connect():
    """
    Connect on a registry of its own; closed at the end.
    """
    made = []

    def connected(*arguments, **options):
        options = {"registry": CollectorRegistry(), **options}
        made.append(cutover.connect(*arguments, **options))
        return made[-1]

    yield connected
    for router in made:
        router.close()


@pytest.fixture
def url(tmp_path):
    """
    The URL of a SQLite store that holds everything on NEW.
    """
    store = SqliteStore(tmp_path / "cutover.db")
    write_all(store, [at("browse", PARTS), at("purchase", PARTS)])
    store.close()
    return store.url


def write_all(store, verbs, secret=b"s" * 32) -> Snapshot:
    """
    Write the changes of the shop to a store.
    """
    before = None
    for number in range(len(verbs) + 1):
        changes, snapshot = perform(SHOP, verbs[:number])
        store.append(
            NAME,
            expect=before,
            head=snapshot.head,
            change=changes[-1].encode(),
            snapshot=snapshot.encode(),
            secret=secret,
        )
        before = snapshot.head
    return snapshot


REFUSED = {
    "no store": {"store": None},
    "empty": {"store": ""},
    "no scheme": {"store": "cutover.db"},
    "unknown scheme": {"store": "etcd://host"},
    "bad URL": {"store": "sqlite://cutover.db"},
    "bad name": {"store": "memory:a/b"},
    "NUL": {"store": "sqlite:////a\0b"},
    "a number": {"store": 5},
    "migration": {"migration": "Tokopedia!"},
    "migration of another type": {"migration": 5},
    "short secret": {"secret": "s" * 31},
    "secret of another type": {"secret": b"s" * 32},
    "short secret beside another": {"secret": "s" * 32 + "," + "t" * 31},
    "no secret behind a comma": {"secret": "s" * 32 + ","},
    "cache": {"cache": "a\0b"},
    "cache of another type": {"cache": 5},
    "bootstrap": {"bootstrap": "a\0b"},
    "bootstrap of another type": {"bootstrap": 5},
    "break-glass": {"break_glass": "a\0b"},
    "break-glass of another type": {"break_glass": object()},
}


@pytest.mark.parametrize("options", REFUSED.values(), ids=REFUSED)
def test_what_can_never_work(connect, options):
    """
    A setting that can never work is refused when connecting, in words that say what is allowed.
    """
    with pytest.raises(ConfigurationError, match="allowed"):
        connect(**{"store": "memory:never", **options})


def test_the_secret_is_not_told(connect):
    """
    A secret that is refused does not stand in the refusal.
    """
    with pytest.raises(ConfigurationError) as caught:
        connect("memory:never", secret="swordfish")

    assert "swordfish" not in str(caught.value)


def test_a_journey_needs_a_secret(connect, url):
    """
    Without a secret a journey is refused when its handle is made, and everything else works.
    """
    router = connect(url)
    with pytest.raises(
        ConfigurationError, match=r"^the journey 'purchase' needs .* connect\(secret=...\) or CUTOVER_SECRET"
    ):
        router.journey("purchase")

    assert router.wait_ready(10)
    assert router.flow("pay").route("user-1") is cutover.Backend.NEW


def test_visits_of_two_processes(connect, url, monkeypatch):
    """
    A visit that one router has entered goes on in another one with the same secret, from parameter or environment, also
    while the secret is changed.
    """
    old, new = "o" * 32, "n" * 32
    first = connect(url, secret=old)
    monkeypatch.setenv("CUTOVER_SECRET", f"{new}, {old}")
    second = connect(url)
    third = connect(url, secret=new)
    for router in (first, second, third):
        assert router.wait_ready(10)
    visit = first.journey("purchase").enter("user-1")

    assert visit.backend is cutover.Backend.NEW
    assert not second.journey("purchase").enter("user-1", token=visit.token).rewritten
    assert third.journey("purchase").enter("user-1", token=visit.token).rewritten
    assert second.journey("purchase") is second.journey("purchase")


def test_visits_before_the_store_answers(connect):
    """
    A router that has heard nothing yet honours a visit of another one, where it is told the migration's name or not.
    """
    known = connect(ScriptedStore(reading(NEW)), secret="s" * 32)
    assert known.wait_ready(10)
    visit = known.journey("purchase").enter("user-1")
    for name in (NAME, None):
        waiting = connect("memory:nobody-writes-here", migration=name, secret="s" * 32)
        again = waiting.journey("purchase").enter("user-1", token=visit.token)

        assert (waiting.ready, again.backend, again.token) == (False, cutover.Backend.NEW, visit.token)
        assert waiting.flow("pay").route(again) is cutover.Backend.NEW


@pytest.mark.parametrize("fleet_metrics", [False, True])
def test_metrics_of_somebody_else(connect, fleet_metrics):
    """
    A registry where somebody else has one of the names is refused.
    """
    registry = CollectorRegistry()
    Gauge("cutover_instances" if fleet_metrics else "cutover_store_up", "Other", registry=registry)
    with pytest.raises(ConfigurationError, match="registry"):
        connect("memory:never", registry=registry, fleet_metrics=fleet_metrics)


def test_follows_the_store(connect, url):
    """
    A router takes what the store holds, and says that it is ready.
    """
    router = connect(url)

    assert router.wait_ready(10)
    assert router.ready
    assert router.snapshot == NEW
    assert router.flow("pay").route("user-1") is cutover.Backend.NEW


def test_the_environment(connect, url, monkeypatch, tmp_path):
    """
    What is left out is taken from the environment, and a parameter goes before it.
    """
    glass = tmp_path / "glass.toml"
    glass.write_text('pay = "old"\n')
    monkeypatch.setenv("CUTOVER_STORE", url)
    monkeypatch.setenv("CUTOVER_MIGRATION", NAME)
    monkeypatch.setenv("CUTOVER_SECRET", "s" * 40)
    monkeypatch.setenv("CUTOVER_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("CUTOVER_BREAK_GLASS", str(glass))
    monkeypatch.setenv("CUTOVER_INSTANCE", "checkout-api")
    router = connect()
    assert router.wait_ready(10)
    assert router.flow("pay").peek("user-1").reason == "break_glass"
    assert until(lambda: list((tmp_path / "cache").glob("*.snapshot")))
    with closing(open_store(url)) as store:
        assert until(lambda: [one.name for one in store.fleet(NAME).instances] == ["checkout-api"])

    assert not connect("memory:empty").wait_ready(0)
    with pytest.raises(ConfigurationError, match="name is ''; allowed"):
        connect(name="")


def test_a_new_process_without_the_store(connect, url, tmp_path):
    """
    While the store is away, a new process routes by the copy that an earlier one left, under the name it learnt.
    """
    first = connect(url)
    assert first.wait_ready(10)
    assert until(lambda: list((tmp_path / "home").rglob("*.snapshot")))
    first.close()
    (tmp_path / "cutover.db").unlink()

    router = connect(url)
    assert router.snapshot == NEW
    assert router.flow("pay").route("user-1") is cutover.Backend.NEW


def test_without_a_copy(connect, url, tmp_path):
    """
    With the copy switched off nothing is written, and a new process without the store routes everything to OLD.
    """
    first = connect(url, cache="off")
    assert first.wait_ready(10)
    first.close()
    (tmp_path / "cutover.db").unlink()

    router = connect(url, cache="off")
    assert not router.ready
    assert router.flow("pay").decide("user-1")[1:3] == ("old", "default")
    assert not (tmp_path / "home").exists()


def test_a_new_pod_on_an_empty_disk(connect, tmp_path):
    """
    With a bootstrap at 100%, not one request of a new pod goes to OLD, also where the store cannot be reached.
    """
    bootstrap = tmp_path / "snapshot.json"
    bootstrap.write_text(NEW.encode())
    router = connect(f"sqlite:///{tmp_path}/nowhere.db", bootstrap=bootstrap)

    assert {router.flow("pay").route(f"user-{number}") for number in range(1000)} == {cutover.Backend.NEW}


def test_the_copy_goes_before_the_bootstrap(connect, url, tmp_path):
    """
    What the store said last is newer than what an image was built with.
    """
    first = connect(url)
    assert first.wait_ready(10)
    assert until(lambda: list((tmp_path / "home").rglob("*.snapshot")))
    first.close()
    (tmp_path / "cutover.db").unlink()
    bootstrap = tmp_path / "snapshot.json"
    bootstrap.write_text(FIRST.encode())

    assert connect(url, bootstrap=bootstrap).snapshot == NEW


BOOTSTRAPS = {
    "missing": (None, "cutover.bootstrap_unreadable"),
    "corrupt": (NEW.encode()[:-9], "cutover.bootstrap_unreadable"),
    "empty": ("", "cutover.bootstrap_unreadable"),
    "deep": ("[" * 1_000_000, "cutover.bootstrap_unreadable"),
    "foreign": (
        attrs.evolve(NEW, definition=attrs.evolve(SHOP, name="other")).encode(),
        "cutover.bootstrap_foreign",
    ),
}


@pytest.mark.parametrize(("content", "event"), BOOTSTRAPS.values(), ids=BOOTSTRAPS)
def test_a_bootstrap_that_is_none(connect, tmp_path, content, event):
    """
    A bootstrap that cannot be used is told and ignored: connecting does not fail for it.
    """
    bootstrap = tmp_path / "snapshot.json"
    if content is not None:
        bootstrap.write_text(content)
    with capture_logs() as logs:
        router = connect("memory:none", migration=NAME, bootstrap=bootstrap)

    assert event in events(logs)
    assert not router.ready


def test_nothing_that_may_heal_is_refused(connect, tmp_path):
    """
    Whatever is wrong with store, cache and break-glass file at the moment, connecting works, and the flows are on OLD.
    """
    (tmp_path / "cutover.db").write_bytes(b"not a database" * 99)
    (tmp_path / "cache").write_text("")
    (tmp_path / "glass.toml").mkdir()
    with capture_logs() as logs:
        router = connect(
            f"sqlite:///{tmp_path}/cutover.db",
            cache=tmp_path / "cache",
            break_glass=tmp_path / "glass.toml",
        )
        assert until(lambda: "cutover.store_corrupt" in events(logs))

    assert "cutover.break_glass_wrong" in events(logs)
    assert router.flow("pay").decide("user-1")[1:3] == ("old", "default")


def test_a_copy_of_another_migration(connect, url, tmp_path):
    """
    A copy that holds another migration than the one asked for is not routed by.
    """
    first = connect(url, migration=NAME)
    assert first.wait_ready(10)
    assert until(lambda: list((tmp_path / "home").rglob("*.snapshot")))
    first.close()
    [path] = (tmp_path / "home").rglob("*.snapshot")
    (tmp_path / "cutover.db").unlink()
    from cutover.router.background.cache import CachedCopy

    path.replace(CachedCopy(path.parent, url, "other").path)

    assert connect(url, migration="other").snapshot is None


def test_a_path_that_is_not_utf8(connect, tmp_path, monkeypatch):
    """
    A path with bytes that are no UTF-8, as the environment may give it, is a path.
    """
    monkeypatch.setenv("CUTOVER_STORE", f"sqlite:///{tmp_path}/caf\udce9.db")
    monkeypatch.setenv("CUTOVER_SECRET", "\udce9" * 32)

    assert not connect().ready


def test_a_store_object_stays_open(connect):
    """
    A store that the application made is used as it is, and open after the router is closed.
    """
    store = ScriptedStore(reading(NEW))
    router = connect(store)
    assert router.wait_ready(10)
    router.close()

    assert store.reports[-1].closing
    assert store.closed == 0


def test_fleet_metrics_after_a_restart(connect):
    """
    A router with the fleet's metrics can be closed and made again in one process.
    """
    registry = CollectorRegistry()
    connect("memory:fleet", registry=registry, fleet_metrics=True).close()

    assert connect("memory:fleet", registry=registry, fleet_metrics=True)


def test_a_file_is_followed(connect, tmp_path):
    """
    A file that GitOps keeps is followed as a store is, and the log says that nobody hears of this process.
    """
    (tmp_path / "snapshot.json").write_text(NEW.encode())
    with capture_logs() as logs:
        router = connect(f"file:{tmp_path}/snapshot.json")

        assert router.wait_ready(10)
        assert router.snapshot == NEW
    assert [log for log in logs if log["event"] == "cutover.no_check_ins"] == [
        {
            "event": "cutover.no_check_ins",
            "log_level": "warning",
            "store": f"file:{tmp_path}/snapshot.json",
            "missing": "append, check_in, durability, fleet, history, now",
        }
    ]


class Wrapped:
    """
    A store of the application, which hands everything on to another one.
    """

    def __init__(self, store):
        self.store = store

    def __getattr__(self, name):
        return getattr(self.store, name)


def test_a_wrapped_store_hears_of_the_process(connect):
    """
    A process that routes by an object that delegates checks in, and nothing is logged about check-ins.
    """
    store = ScriptedStore(reading(NEW))
    with capture_logs() as logs:
        router = connect(Wrapped(store))

        assert router.wait_ready(10)
        assert until(lambda: store.reports)
    assert "cutover.no_check_ins" not in events(logs)


@pytest.mark.parametrize("is_gil_enabled", [True, False])
def test_without_a_global_lock(connect, monkeypatch, is_gil_enabled):
    """
    Where Python runs without its global lock, the log says once that counts are too low.
    """
    monkeypatch.setattr(sys, "_is_gil_enabled", lambda: is_gil_enabled, raising=False)
    with capture_logs() as logs:
        connect("memory:threads")

    assert events(logs).count("cutover.counts_inexact") == (not is_gil_enabled)


def cohorts(_key):
    """
    Give cohorts, when it is asked for them.
    """
    yield "staff"


async def cohort_later(_key):
    """
    Give a cohort, when it is awaited.
    """


@pytest.mark.parametrize(
    ("given", "told"), [(cohort_later, "an async def"), (cohorts, "a generator"), ("staff", "a str")]
)
def test_cohort_of_that_cannot_be(given, told):
    """
    No request waits for a cohort: what would have to be awaited, or cannot be called, is refused at once.
    """
    for make in (partial(cutover.connect, "memory:cohorts"), partial(cutover.testing.router, pay=50)):
        with pytest.raises(ConfigurationError, match=f"^cohort_of is {told}; allowed: a function made with def"):
            make(cohort_of=given)
