"""
Transports for httpx that send a request to the OLD or the NEW base URL: an existing client changes by one line.

    client = httpx.Client(base_url=OLD, transport=SwitchTransport(pay, old=OLD, new=NEW))
    client.post("/charges", json=order, extensions={"cutover.key": visit})
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from time import perf_counter
from types import TracebackType
from typing import Any, Final, Self, TypeVar

import httpx

from cutover.callables import Kind
from cutover.core.backend import UNSET, Backend
from cutover.errors import ConfigurationError
from cutover.returned import finished, settled
from cutover.router.calls.checking import kind_of_all
from cutover.router.calls.raised import all_are
from cutover.router.current import in_shadow, inside
from cutover.router.flow import Flow

__all__ = ["HOME", "KEY", "AsyncSwitchTransport", "SwitchTransport"]

KEY: Final = "cutover.key"  # extension of a request: its key, or the visit that it is on
HOME: Final = "cutover.home"  # extension of a request: where the thing lives that it is about
SAFE: Final = frozenset({"GET", "HEAD", "OPTIONS", "TRACE"})  # methods that change nothing (RFC 9110, 9.2.1)
NOT_SENT: Final = (httpx.ConnectError, httpx.ConnectTimeout, httpx.PoolTimeout, httpx.UnsupportedProtocol)
PORTS: Final = {"http": 80, "https": 443}
FIRST_SERVER_ERROR: Final = 500

Transport = TypeVar("Transport", httpx.BaseTransport, httpx.AsyncBaseTransport)
KeyOf = Callable[[httpx.Request], object]


class _Switch:
    """
    What the two transports share: where a request goes, and what came of it.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        old: str | httpx.URL,
        new: str | httpx.URL,
        key: KeyOf | None,
        home: KeyOf | None,
        can_await: bool = False,
    ) -> None:
        for name, function in (("key", key), ("home", home)):
            if function is not None and kind_of_all(**{name: function}) is Kind.ASYNC and not can_await:
                raise ConfigurationError(f"{name} is an async def; allowed: a function made with def")
        if not isinstance(flow, Flow):
            raise ConfigurationError(f'flow is a {type(flow).__name__}; allowed: what router.flow("NAME") gives')
        self._flow = flow
        self._bases = {Backend.OLD: _base(old, "old"), Backend.NEW: _base(new, "new")}
        self._key = key
        self._home = home

    def takes(self, request: httpx.Request) -> bool:
        """
        Tell whether a request is for one of the two back ends; a redirect may lead elsewhere.
        """
        return any(_is_below(request.url, base) for base in self._bases.values())

    @contextmanager
    def calling(self, request: httpx.Request, key: Any, home: object) -> "Iterator[_Call]":
        """
        Decide where a request goes, turn it there, and count what comes of it.
        """
        side = self._flow.route(key, None, home, in_shadow())
        call = _Call(self._turned(request, self._bases[side]))
        began = perf_counter()
        try:
            with inside((self._flow.name, side, self._flow.version)):
                yield call
            self._turn_back(request, call, self._bases[side])
        except BaseException as error:
            self._flow.called(side, _outcome_of(request.method, error), perf_counter() - began, key)
            raise
        else:
            self._flow.called(side, call.outcome, perf_counter() - began, key)

    def told(self, request: httpx.Request) -> tuple[object, object]:
        """
        Give key and home of a request.
        """
        home = finished(self._home_of(request), "home")
        return finished(self._key_of(request), "key"), home

    async def told_later(self, request: httpx.Request) -> tuple[object, object]:
        """
        Give key and home of a request, and await them.
        """
        home = await settled(self._home_of(request), "home")
        return await settled(self._key_of(request), "key"), home

    def _home_of(self, request: httpx.Request) -> object:
        home: object = request.extensions.get(HOME, UNSET)
        return self._home(request) if home is UNSET and self._home is not None else home

    def _key_of(self, request: httpx.Request) -> object:
        key: object = request.extensions.get(KEY)
        return self._key(request) if key is None and self._key is not None else key

    def _turned(self, request: httpx.Request, base: httpx.URL) -> httpx.Request:
        path = _prefix(base) + request.url.raw_path[len(_prefix(self._named(request))) :]
        url = request.url.copy_with(scheme=base.scheme, host=base.host, port=base.port, raw_path=path)
        headers = request.headers.copy()
        if headers.get("host") == request.url.netloc.decode():  # or the application set one of its own
            headers["host"] = url.netloc.decode()
        return httpx.Request(request.method, url, headers=headers, stream=request.stream, extensions=request.extensions)

    def _turn_back(self, request: httpx.Request, call: "_Call", base: httpx.URL) -> None:
        """
        Have a redirect without a host mean what its back end means: the client takes it from the URL that it asked for.
        """
        ours, response = self._named(request), call.response
        if response is None or not response.has_redirect_location or _prefix(ours) == _prefix(base):
            return
        try:
            location = httpx.URL(response.headers["location"])
            target = call.request.url.join(location)
        except httpx.InvalidURL:
            return  # the client says so
        if location.scheme:
            return
        if _is_below(target, base):
            path = _prefix(ours) + target.raw_path[len(_prefix(base)) :]
            target = request.url.copy_with(raw_path=path, fragment=target.fragment or None)
        response.headers["location"] = str(target)

    def _named(self, request: httpx.Request) -> httpx.URL:
        """
        Give the base that the client named; one may lie below the other.
        """
        bases = (one for one in self._bases.values() if _is_below(request.url, one))
        return max(bases, key=lambda one: len(one.raw_path))


class _Call:
    """
    One request on its way.

    Attributes:
        request: As it is sent.
        response: What came back, once it did.
    """

    def __init__(self, request: httpx.Request) -> None:
        self.request = request
        self.response: httpx.Response | None = None

    @property
    def outcome(self) -> str:
        """
        Name what came of a request that was answered.
        """
        failed = self.response is not None and self.response.status_code >= FIRST_SERVER_ERROR
        return "error" if failed else "ok"


class SwitchTransport(httpx.BaseTransport):
    """
    Sends each request of a client to the back end that its key is routed to, and counts it by outcome.

    An answer of 500 or above is an error; a request that may have changed something and broke off is ``unknown``, and
    goes to no other side. Requests to anywhere but the two base URLs, such as redirects, pass as they are.

    Args:
        old: The base URL of OLD.
        new: The base URL of NEW.
        key: Gives the key of a request, or its visit, where the extension ``cutover.key`` does not.
        home: Gives where the thing lives that a request is about, where the extension ``cutover.home`` does not.
        transport: What sends; else httpx's own.

    Raises:
        ConfigurationError: If a base URL is none, or a function cannot be one.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        old: str | httpx.URL,
        new: str | httpx.URL,
        key: KeyOf | None = None,
        home: KeyOf | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._switch = _Switch(flow, old=old, new=new, key=key, home=home)
        self._transport = httpx.HTTPTransport() if transport is None else _sending(transport, httpx.BaseTransport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send one request.
        """
        if not self._switch.takes(request):
            return self._transport.handle_request(request)
        with self._switch.calling(request, *self._switch.told(request)) as call:
            call.response = response = self._transport.handle_request(call.request)
        return response

    def __enter__(self) -> Self:
        self._transport.__enter__()
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        self._transport.__exit__(exc_type, exc_value, traceback)

    def close(self) -> None:
        """
        Close what sends.
        """
        self._transport.close()


class AsyncSwitchTransport(httpx.AsyncBaseTransport):
    """
    `SwitchTransport` for `httpx.AsyncClient`; its functions may be coroutine functions.
    """

    def __init__(
        self,
        flow: Flow,
        *,
        old: str | httpx.URL,
        new: str | httpx.URL,
        key: KeyOf | None = None,
        home: KeyOf | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._switch = _Switch(flow, old=old, new=new, key=key, home=home, can_await=True)
        self._transport = (
            httpx.AsyncHTTPTransport() if transport is None else _sending(transport, httpx.AsyncBaseTransport)
        )

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """
        Send one request.
        """
        if not self._switch.takes(request):
            return await self._transport.handle_async_request(request)
        with self._switch.calling(request, *await self._switch.told_later(request)) as call:
            call.response = response = await self._transport.handle_async_request(call.request)
        return response

    async def __aenter__(self) -> Self:
        await self._transport.__aenter__()
        return self

    async def __aexit__(
        self,
        exc_type: type[BaseException] | None = None,
        exc_value: BaseException | None = None,
        traceback: TracebackType | None = None,
    ) -> None:
        await self._transport.__aexit__(exc_type, exc_value, traceback)

    async def aclose(self) -> None:
        """
        Close what sends.
        """
        await self._transport.aclose()


def _outcome_of(method: str, error: BaseException) -> str:
    if not isinstance(error, Exception):
        return "cancelled"
    may_have_changed = method not in SAFE and not all_are(error, NOT_SENT)
    return "unknown" if may_have_changed else "error"


def _base(given: str | httpx.URL, name: str) -> httpx.URL:
    allowed = "allowed: a base URL such as https://shop.example"
    try:
        url = httpx.URL(given)
    except TypeError as error:
        raise ConfigurationError(f"{name} is {given!r}: {error}; {allowed}") from error
    except httpx.InvalidURL:  # without its text, which may show a part of a password
        raise ConfigurationError(f"{name} is no URL that can be read; {allowed}") from None
    if url.userinfo:  # it would be that of one side, and go to the other
        raise ConfigurationError(f"{name} holds a user or a password; {allowed}, and auth= of the client")
    if url.scheme not in PORTS or not url.host or url.query or url.fragment:
        raise ConfigurationError(f"{name} is {given!r}; {allowed}")
    return url


def _sending(transport: Transport, kind: type[Transport]) -> Transport:
    if not isinstance(transport, kind):
        raise ConfigurationError(f"transport is a {type(transport).__name__}; allowed: an httpx.{kind.__name__}")
    return transport


def _is_below(url: httpx.URL, base: httpx.URL) -> bool:
    same_origin = (url.scheme, url.host, _port(url)) == (base.scheme, base.host, _port(base))
    path = url.raw_path.partition(b"?")[0]
    return same_origin and (path + b"/").startswith(_prefix(base) + b"/")


def _prefix(base: httpx.URL) -> bytes:
    return base.raw_path.rstrip(b"/")


def _port(url: httpx.URL) -> int | None:
    return url.port or PORTS.get(url.scheme)
