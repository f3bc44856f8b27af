"""The ping: which URL is requested when, that a failure is never a success, and that the URL is never shown."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from typing import Any
from urllib.parse import urlsplit

import pytest

from intctl.errors import UsageError
from intctl.notify.catalogue import CATALOGUE, Subscriber
from intctl.notify.event import Event, PassFailed, PassFinished, PassStarted
from intctl.notify.notifier import Result
from intctl.notify.ping import LIMIT_S, Ping, parse
from intctl.probes.guard import AddressPolicy
from intctl.service.journal import Journal
from intctl.service.reporter import Reporter
from intctl.text import Secret

from ..servers import Answer, HttpServer, Request, http_server, raw_server

#: No budget ends before the limit of a ping.
SOON = float("inf")
SECRET = "5bf66975-d4c7-4bf5-bcc8-b8d8a82ea278"


@pytest.fixture
def monitor() -> Iterator[HttpServer]:
    """A monitor that accepts the pings of one check."""
    with http_server({f"/{SECRET}{end}": Answer(200, b"OK") for end in ("", "/start", "/fail")}) as server:
        yield server


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def ping(url: str, policy: Callable[[], AddressPolicy] = AddressPolicy, **options: Any) -> tuple[Reporter, list[str]]:
    """A reporter of passes to this URL, and the messages of its journal."""
    said: list[str] = []
    journal = Journal("json", lambda _data, line: said.append(json.loads(line)["message"]), time.time)
    return Reporter(journal, [Subscriber(CATALOGUE["ping"], Ping(Secret(url), policy, **options))]), said


def asked(server: HttpServer) -> list[str]:
    return [request.target.removeprefix(f"/{SECRET}") for request in server.requests]


def test_a_pass_that_goes_well(monitor: HttpServer) -> None:
    """URL/start is requested at the start and URL at the end, in this order, without a warning."""
    one, said = ping(f"{monitor.url}/{SECRET}")
    one.pass_started()
    one.pass_ended(PassFinished(), SOON)
    assert (asked(monitor), said) == (["/start", ""], [])
    assert {request.method for request in monitor.requests} == {"GET"}


def test_a_pass_that_fails(monitor: HttpServer) -> None:
    """A failed pass requests URL/fail, never the URL alone."""
    one, said = ping(f"{monitor.url}/{SECRET}")
    one.pass_started()
    one.pass_ended(PassFailed(), SOON)
    assert (asked(monitor), said) == (["/start", "/fail"], [])


def test_the_results_of_pings(monitor: HttpServer) -> None:
    """The notifier only returns results: delivered, failed with words, or skipped if a service pinged just now."""
    started, finished, failed = PassStarted(), PassFinished(), PassFailed()
    one = Ping(Secret(f"{monitor.url}/{SECRET}"), AddressPolicy, spaced=True, clock=lambda: 1000.0)
    assert list(one.deliver([started, finished])) == [Result(started, "delivered"), Result(finished, "delivered")]
    assert list(one.deliver([started, finished])) == [Result(started, "skipped"), Result(finished, "skipped")]
    del monitor.routes[f"/{SECRET}/fail"]
    (result,) = one.deliver([failed])
    assert (result.status, result.words.partition(":")[0]) == ("failed", "The ping of /fail was not accepted")


def test_a_url_with_a_query_and_a_slash(monitor: HttpServer) -> None:
    """The suffix is added to the path, before the query; a trailing slash is not doubled."""
    one, _ = ping(f"{monitor.url}/{SECRET}/?create=1")
    one.pass_started()
    one.pass_ended(PassFailed(), SOON)
    assert asked(monitor) == ["/start?create=1", "/fail?create=1"]


EVENTS: tuple[Event, ...] = (PassStarted(), PassFinished(), PassFailed())
KUMA = f"/api/push/{SECRET}"
UP, DOWN = f"{KUMA}?status=up&msg=OK&ping=", f"{KUMA}?status=down&msg=pass+failed"
#: URLs, and what is requested at the start, after a success and after a failure.
FORMS: dict[str, tuple[str | None, str | None, str | None]] = {
    f"/{SECRET}": (f"/{SECRET}/start", f"/{SECRET}", f"/{SECRET}/fail"),
    f"/{SECRET}?create=1": (f"/{SECRET}/start?create=1", f"/{SECRET}?create=1", f"/{SECRET}/fail?create=1"),
    f"/{SECRET}?rid=5&create=1": (
        f"/{SECRET}/start?rid=5&create=1",
        f"/{SECRET}?rid=5&create=1",
        f"/{SECRET}/fail?rid=5&create=1",
    ),
    "/p/K/job?state={state}": ("/p/K/job?state=start", "/p/K/job?state=success", "/p/K/job?state=fail"),
    "/{state}/x/{state}": ("/start/x/start", "/success/x/success", "/fail/x/fail"),
    f"{KUMA}?status={{status}}&msg={{state}}": (None, f"{KUMA}?status=up&msg=success", f"{KUMA}?status=down&msg=fail"),
    UP: (None, UP, f"{DOWN}&ping="),
    KUMA: (None, KUMA, DOWN),
    f"/below{KUMA}/?status=up": (None, f"/below{KUMA}/?status=up", f"/below{KUMA}/?status=down&msg=pass+failed"),
    f"/p/{SECRET}/job?state=complete": (None, f"/p/{SECRET}/job?state=complete", None),
}


@pytest.mark.case("F22")
@pytest.mark.parametrize("form", FORMS)
def test_the_forms_of_a_url(form: str) -> None:
    """Placeholders, Uptime Kuma and other queries have a form of their own; no request is one that the URL has not."""
    expected = FORMS[form]
    for event, target in zip(EVENTS, expected, strict=True):
        found = {} if target is None else {urlsplit(target).path: Answer(200, b"OK")}
        with http_server(found) as server:
            one = Ping(parse(server.url + form, "--ping-url"), AddressPolicy)
            list(one.deliver([PassStarted()] if not isinstance(event, PassStarted) else []))
            before = len(server.requests)
            (result,) = one.deliver([event])
            assert result.status == ("skipped" if target is None else "delivered")
            assert [request.target for request in server.requests[before:]] == [target] * (target is not None)


@pytest.mark.case("F22")
@pytest.mark.parametrize("end", ["/{}", "/{State}", "/{state", "/state}", "/{{state}}", "/{exit}", "/x?y={status"])
def test_an_unknown_placeholder_is_refused(end: str) -> None:
    """The message names the known ones and never the URL."""
    with pytest.raises(UsageError) as told:
        parse(f"https://monitor.example/{SECRET}{end}", "INTCTL_PING_URL")
    assert str(told.value) == "INTCTL_PING_URL has an unknown placeholder: {state} and {status} are known."
    with pytest.raises(UsageError, match="host name"):
        parse("https://{state}.example/x", "INTCTL_PING_URL")


@pytest.mark.parametrize("status", [201, 202, 204])
def test_any_success_of_the_monitor_counts(status: int) -> None:
    """Any successful status of the monitor counts."""
    with http_server({f"/{SECRET}": Answer(status, b"")}) as server:
        one, said = ping(f"{server.url}/{SECRET}")
        one.pass_ended(PassFinished(), SOON)
    assert said == []


@pytest.mark.parametrize(
    "answer",
    [
        Answer(404, {"error": f"no check {SECRET}"}),
        Answer(500, {"error": SECRET}),
        Answer(429, b"", {"Retry-After": "5"}),
        Answer(302, b"", {"Location": f"/elsewhere/{SECRET}"}),
    ],
    ids=lambda answer: str(answer.status),
)
def test_a_monitor_that_does_not_take_it(answer: Answer) -> None:
    """An error is reported in intctl's own words, without the URL and the monitor's text; nothing is raised."""
    with http_server({f"/{SECRET}": answer}) as server:
        one, said = ping(f"{server.url}/{SECRET}")
        one.pass_ended(PassFinished(), SOON)
        assert "/elsewhere" not in {request.path for request in server.requests}
    assert len(said) == 1 and said[0].startswith("The ping was not accepted: ")
    assert SECRET not in "".join(said)


def test_a_monitor_that_is_away() -> None:
    """A refused connection is reported, with the ping that failed."""
    with http_server({}) as server:
        url = f"{server.url}/{SECRET}"
    one, said = ping(url)
    one.pass_started()
    one.pass_ended(PassFailed(), SOON)
    assert [text.partition(" was")[0] for text in said] == ["The ping of /start", "The ping of /fail"]
    assert SECRET not in "".join(said)


def test_a_monitor_that_never_answers() -> None:
    """The pass does not wait for the start ping, and no longer than the limit for the end ping."""

    async def silent(reader: Any, _writer: Any, _server: Any) -> None:
        await reader.read()

    with raw_server(silent) as server:
        one, said = ping(f"http://{server.host}:{server.port}/{SECRET}")
        before = time.monotonic()
        one.pass_started()
        started_s = time.monotonic() - before
        one.pass_ended(PassFinished(), SOON)
        assert server.connections >= 2
    assert started_s < LIMIT_S / 2
    assert len(said) == 2
    assert SECRET not in "".join(said)


def test_the_address_guard_stands_before_it(monitor: HttpServer) -> None:
    """The ping uses the same address guard as a probe: a blocked address is not requested."""
    one, said = ping(f"{monitor.url}/{SECRET}", lambda: AddressPolicy.parse("loopback"))
    one.pass_ended(PassFinished(), SOON)
    assert monitor.requests == []
    assert len(said) == 1 and SECRET not in said[0]


def test_a_bug_in_between_is_no_reason_to_stop() -> None:
    """An exception in the ping is only a line in the journal, without the text of the error."""

    def broken() -> AddressPolicy:
        raise RuntimeError(SECRET)

    one, said = ping(f"https://127.0.0.1/{SECRET}", broken)
    one.pass_ended(PassFinished(), SOON)
    assert said == ["The ping was not sent (RuntimeError)."]


# --- a service


def test_a_service_pings_once_a_minute(monitor: HttpServer) -> None:
    """One pass a minute is reported, with start and end."""
    clock = Clock()
    one, _ = ping(f"{monitor.url}/{SECRET}", spaced=True, clock=clock)
    for clock.now in (1000.0, 1015.0, 1059.0, 1060.0, 1075.0):
        one.pass_started()
        one.pass_ended(PassFinished(), SOON)
    assert asked(monitor) == ["/start", "", "/start", ""]


def test_a_change_is_told_at_once(monitor: HttpServer) -> None:
    """The first failure is reported at once, and so is the first success after it."""
    clock = Clock()
    one, _ = ping(f"{monitor.url}/{SECRET}", spaced=True, clock=clock)
    for how in (PassFinished, PassFailed, PassFailed, PassFinished, PassFinished):
        one.pass_started()
        one.pass_ended(how(), SOON)
        clock.now += 10
    assert asked(monitor) == ["/start", "", "/fail", ""]


def test_a_timer_tells_of_every_pass(monitor: HttpServer) -> None:
    """Without a service every pass is reported."""
    for _ in range(2):
        one, _said = ping(f"{monitor.url}/{SECRET}")
        one.pass_started()
        one.pass_ended(PassFinished(), SOON)
    assert asked(monitor) == ["/start", ""] * 2


def test_what_is_told_last_arrives_last() -> None:
    """The end ping waits for a slow start ping: it never arrives first."""
    order: list[str] = []

    def slow(request: Request) -> Answer:
        time.sleep(0.3)  # the server's own thread
        order.append(request.path)
        return Answer(200, b"OK")

    routes = {f"/{SECRET}/start": slow, f"/{SECRET}": slow}
    with http_server(routes) as server:
        one, _ = ping(f"{server.url}/{SECRET}")
        one.pass_started()
        one.pass_ended(PassFinished(), SOON)
    assert order == [f"/{SECRET}/start", f"/{SECRET}"]


# --- the URL


@pytest.mark.parametrize(
    "text",
    [
        SECRET,
        f"ftp://hc-ping.com/{SECRET}",
        f"file:///{SECRET}",
        f"https:///{SECRET}",
        f"https://user:{SECRET}@hc-ping.com/",
        f"https://hc-ping.com:99999/{SECRET}",
        f"https://hc-ping.com:0/{SECRET}",
        f"https://[::1/{SECRET}",
        f"https://hc-ping.com/{SECRET}#x",
        f"https://hc-ping.com/{SECRET}\nHost: x",
        f"https://hc-ping.com/{SECRET} x",
        f"https://hç-ping.com/{SECRET}",
    ],
)
def test_what_is_no_url(text: str) -> None:
    """An invalid URL is a usage error that names its source and does not show the URL."""
    with pytest.raises(UsageError) as told:
        parse(text, "INTCTL_PING_URL")
    assert str(told.value).startswith("INTCTL_PING_URL is not a URL")
    assert SECRET not in str(told.value)


def test_a_url_hides_itself() -> None:
    """A parsed URL hides its text."""
    found = parse(f"https://hc-ping.com/{SECRET}", "--ping-url")
    assert found.reveal().endswith(SECRET) and SECRET not in f"{found} {found!r}"
