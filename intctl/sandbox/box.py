"""The sandbox: servers on their own thread, and the values that a manifest needs to reach them."""

from __future__ import annotations

import asyncio
import random
import secrets
import socket
import ssl
import threading
from collections import deque
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Self

from intctl.providers import catalogue
from intctl.sandbox import faults as wrong
from intctl.sandbox import wire
from intctl.sandbox.authority import Authority
from intctl.sandbox.http import Reply, Request, serve
from intctl.sandbox.mail import Login, Mail, Postbox
from intctl.sandbox.vendors import MAIL, Account, RandomBytes, Way, random_text, served

#: The only listening address: other machines must not be able to guess the credentials.
HOST = "127.0.0.1"
_START_SECONDS = 15.0
_REMEMBERED = 10_000
# A few turns of the loop: a new connection gets its task, and a closed one reports its end.
_TURNS_SECONDS = 0.02


class Sandbox:
    """Loopback servers for every provider. `folder` must exist; certificates are written into it (0600).

    Use it as a context manager: the servers run from enter to exit. The valid credentials are random,
    new for each sandbox unless there is a `seed`; all others are refused with the vendor's own
    replies. `faults` maps providers to faults (see faults.FAULTS); one that does not fit raises
    UsageError.
    """

    def __init__(self, folder: Path, *, faults: Mapping[str, str] | None = None, seed: int | None = None) -> None:
        self.faults = dict(faults or {})
        wrong.check(self.faults)
        self._authority = Authority()
        self.folder = folder
        folder.chmod(0o700)
        self.ca_file = self._write("ca.pem", self._authority.certificate)
        certificate, key = self._authority.client("adp.sandbox.invalid")
        self.client_certificate = self._write("adp-client.pem", certificate)
        self.client_key = self._write("adp-client-key.pem", key)
        self._vendors = served()
        self.accounts = {name: Account(vendor, _source(seed, name)) for name, vendor in self._vendors.items()}
        self.logins = {name: self._login(name, _source(seed, name)) for name in MAIL}
        # The issued credentials stay the same; with some faults the vendor accepts a different one.
        self._given = {name: dict(account.credentials) for name, account in self.accounts.items()}
        self._given["adp"] |= {"client_certificate": certificate, "client_private_key": key}
        self._answers = {
            name: (
                wrong.FaultyAccount(account, self.faults[name], _secrets(name)) if name in self.faults else account
            ).answer
            for name, account in self.accounts.items()
        }
        self._postbox = Postbox({name: self._taken(name, login) for name, login in self.logins.items()})
        self._requests: deque[tuple[str, Request]] = deque(maxlen=_REMEMBERED)
        self.ports: dict[str, int] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._started: Future[asyncio.Event] = Future()
        self._thread = threading.Thread(target=self._run, name="intctl-sandbox", daemon=True)

    @property
    def mails(self) -> list[Mail]:
        """The messages received so far, oldest first."""
        return list(self._postbox.mails)

    @property
    def requests(self) -> list[tuple[str, Request]]:
        """The last HTTP requests, oldest first, each with its provider. They contain secrets."""
        return list(self._requests)

    def url(self, provider: str) -> str:
        """Return scheme, host and port of an HTTPS vendor."""
        scheme = self.accounts[provider].vendor.scheme
        return f"{scheme}://{HOST}:{self.ports[provider]}"

    @property
    def providers(self) -> tuple[str, ...]:
        """All providers that the sandbox serves, over SMTP, HTTP or both."""
        return tuple(dict.fromkeys((*self.logins, *self.accounts)))

    def ways(self, provider: str) -> tuple[str, ...]:
        """Return the ways to log in: "", which is the example's way, and the names of the others."""
        vendor = self._vendors.get(provider)
        return ("", *vendor.ways) if vendor else ("",)

    def config(self, provider: str, way: str = "") -> dict[str, str]:
        """Return a config for this way to log in to the sandbox: addresses and all credentials."""
        chosen = self._way(provider, way)
        found = {"ca_file": str(self.ca_file)}
        if chosen.mail:
            port = self.ports.get(f"mail.{provider}", self.ports["starttls"])
            found |= {"host": HOST, "port": str(port), "security": "starttls"}
        else:
            found["base_url"] = self.url(provider)
        known = self._credentials(provider)
        url = self.url(provider) if provider in self.accounts else ""
        found |= {name: text.format(url=url).format_map(known) for name, text in chosen.config.items()}
        return found | {name: known[name] for name in chosen.credentials}

    def settings(self, provider: str) -> list[str]:
        """Return `key=value` assignments (`--set`) that point the provider's example to the sandbox."""
        secret = self.references(provider)
        return [f"{name}={value}" for name, value in self.config(provider).items() if name not in secret]

    def environ(self) -> dict[str, str]:
        """Return the variables of the files in `examples/` and of the other ways, with valid values."""
        return {
            variable: self._credentials(provider)[name]
            for provider in self.providers
            for way in self.ways(provider)
            for name, variable in self.references(provider, way).items()
        }

    def references(self, provider: str, way: str = "") -> dict[str, str]:
        """Map the secret fields of the provider's config to the variables of `environ`."""
        named = {name: variable for variable, name in self._variables(provider).items()}
        found = {}
        for name in self._way(provider, way).credentials:
            if name in named or name in _secrets(provider):
                found[name] = named.get(name, f"{provider}_{name}".upper())
        return found

    def _credentials(self, provider: str) -> dict[str, str]:
        """All valid credentials, of every way."""
        login = self.logins.get(provider)
        mail = {"username": login.username, "password": login.password or ""} if login else {}
        return self._given.get(provider, {}) | mail

    def _variables(self, provider: str) -> dict[str, str]:
        """The variables of the provider's example, and the field of each."""
        rows = (MAIL.get(provider), self._vendors.get(provider))
        return {variable: name for row in rows if row for variable, name in row.variables.items()}

    def _way(self, provider: str, way: str) -> Way:
        if way:
            return self._vendors[provider].ways[way]
        vendor, mail = self._vendors.get(provider), MAIL.get(provider)
        own = tuple(vendor.credentials) if vendor else ()
        if mail is None:
            return Way(own + (("client_certificate", "client_private_key") if provider == "adp" else ()))
        return Way(("username", "password") if mail.password else ("username", *own), mail.config, mail=True)

    def _login(self, provider: str, source: RandomBytes) -> Login:
        row, account = MAIL[provider], self.accounts.get(provider)
        password = account.credentials[row.same_as] if account and row.same_as else random_text("{token}", source)
        return Login(
            random_text(row.username, source),
            password if row.password else None,
            row.refusal,
            account.access_tokens if account and row.challenge is not None else None,
            row.challenge or "",
        )

    def _taken(self, provider: str, login: Login) -> Login:
        """The login that the mail server accepts: not the issued one if that is the fault."""
        refusal = {
            "smtp.auth.rejected": login.refusal,
            "temporary": "454 4.7.0 Temporary authentication failure, try again later",
        }.get(self.faults.get(provider, ""))
        return login if refusal is None else replace(login, password=None, tokens=(), refusal=refusal)

    def __enter__(self) -> Self:
        self._thread.start()
        self._stop = self._started.result(_START_SECONDS)
        return self

    def __exit__(self, *_: object) -> None:
        with suppress(RuntimeError):  # the loop is closed already
            self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join(_START_SECONDS)

    def _write(self, name: str, text: str) -> Path:
        path = self.folder / name
        path.touch(0o600, exist_ok=False)
        path.write_text(text)
        return path.absolute()

    # --- on the thread ---------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            asyncio.run(self._serve())
        except BaseException as error:
            if self._started.done():
                raise
            self._started.set_exception(error)

    async def _serve(self) -> None:
        self._loop = asyncio.get_running_loop()
        stop = asyncio.Event()
        servers = await self._listen()
        self._started.set_result(stop)
        await stop.wait()
        await asyncio.sleep(_TURNS_SECONDS)
        for server in servers:
            server.close()
        self._postbox.hang_up()
        for writer in self._open:
            writer.transport.abort()
        await asyncio.sleep(_TURNS_SECONDS)
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
        await asyncio.sleep(_TURNS_SECONDS)

    async def _accept(
        self, provider: str, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        def answer(request: Request) -> Reply:
            self._requests.append((provider, request))
            return self._answers[provider](request)

        self._open.add(writer)
        await serve(answer, context, reader, writer)
        self._open.discard(writer)

    async def _listen(self) -> list[asyncio.Server]:
        loop = asyncio.get_running_loop()
        contexts: dict[tuple[bool, bool], ssl.SSLContext] = {}

        def context(provider: str = "", *, ask_client: bool = False) -> ssl.SSLContext:
            expired = self.faults.get(provider) == "tls.expired"
            kind = ask_client, expired
            if kind not in contexts:
                contexts[kind] = self._authority.server_context(ask_client=ask_client, expired=expired)
            return contexts[kind]

        servers = {}
        for name, account in self.accounts.items():
            chosen = context(name, ask_client=account.vendor.client_certificate)
            servers[name] = await asyncio.start_server(partial(self._accept, name, chosen), sock=_socket())
        servers["starttls"] = await loop.create_server(partial(self._postbox.starttls, context()), sock=_socket())
        servers["tls"] = await loop.create_server(self._postbox.implicit, sock=_socket(), ssl=context())
        for name in self.logins:
            code = self.faults.get(name)
            if code == "tls.expired":
                session = partial(self._postbox.starttls, context(name))
                servers[f"mail.{name}"] = await loop.create_server(session, sock=_socket())
            elif code == "starttls.missing":
                servers[f"mail.{name}"] = await loop.create_server(self._postbox.stripped, sock=_socket())
            elif code in wrong.ON_THE_LINE:
                servers[f"mail.{name}"] = await asyncio.start_server(partial(self._trouble, code), sock=_socket())
        self.ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        return list(servers.values())

    async def _trouble(self, code: str, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Serve a mail server that fails before the login."""
        self._open.add(writer)
        with suppress(OSError, TimeoutError):
            if code == "reply.timeout":
                await wire.silent(partial(reader.read, 4096))
            elif code == "deadline":
                await wire.drip(partial(_send, writer), b"220 sandbox.invalid ")
            else:
                await _send(writer, b"220 sandbox.invalid ESMTP\r\n")
                await reader.read(4096)
                wire.reset(writer)
        writer.close()
        self._open.discard(writer)


async def _send(writer: asyncio.StreamWriter, data: bytes) -> None:
    writer.write(data)
    await writer.drain()


def _secrets(provider: str) -> frozenset[str]:
    """The secret fields of a provider."""
    known = catalogue.get(provider)
    return known.secrets if known else frozenset()


def _source(seed: int | None, provider: str) -> RandomBytes:
    """The source of a provider's credentials: random, or the same for the same seed."""
    return secrets.token_bytes if seed is None else random.Random(f"{seed}/{provider}").randbytes  # noqa: S311


def _socket() -> socket.socket:
    """A listening socket on loopback, on a free port."""
    # Named as TCP, or asyncio leaves Nagle's algorithm on: 40 ms for each small write after the first.
    sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    sock.bind((HOST, 0))
    return sock
