"""The sandbox itself: servers on a thread of their own, and what a manifest needs to reach them."""

from __future__ import annotations

import asyncio
import ssl
import threading
from collections.abc import Mapping
from concurrent.futures import Future
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Self

from intctl.sandbox.authority import Authority
from intctl.sandbox.http import serve
from intctl.sandbox.mail import Login, Mail, Postbox
from intctl.sandbox.vendors import MAIL, VENDORS, Account, random_text

#: The only address that is ever listened on: the credentials are real enough to be worth guessing.
HOST = "127.0.0.1"
_START_SECONDS = 15.0
# A few turns of the loop: a connection just accepted gets its task, one that was cut reports its end.
_TURNS_SECONDS = 0.02


class Sandbox:
    """Loopback servers for every provider. `folder` must exist; certificates are written into it (0600).

    Used as a context manager: the servers run from enter to exit. The right credentials are random,
    new for each sandbox; everything else is refused the way the vendor refuses it.
    """

    def __init__(self, folder: Path) -> None:
        self._authority = Authority()
        self.folder = folder
        folder.chmod(0o700)
        self.ca_file = self._write("ca.pem", self._authority.certificate)
        certificate, key = self._authority.client("adp.sandbox.invalid")
        self.client_certificate = self._write("adp-client.pem", certificate)
        self.client_key = self._write("adp-client-key.pem", key)
        self.accounts = {name: Account(vendor) for name, vendor in VENDORS.items()}
        self.logins = {
            name: Login(random_text(account.username), random_text("{token}"), account.refusal)
            for name, account in MAIL.items()
        }
        self._postbox = Postbox(self.logins)
        self.ports: dict[str, int] = {}
        self._open: set[asyncio.StreamWriter] = set()
        self._started: Future[asyncio.Event] = Future()
        self._thread = threading.Thread(target=self._run, name="intctl-sandbox", daemon=True)

    @property
    def mails(self) -> list[Mail]:
        """The messages that arrived so far, oldest first."""
        return list(self._postbox.mails)

    def url(self, provider: str) -> str:
        """Scheme, host and port of an HTTPS vendor."""
        return f"https://{HOST}:{self.ports[provider]}"

    def settings(self, provider: str) -> list[str]:
        """`key=value` assignments (`--set`) that point the provider's example here."""
        found: dict[str, object] = {"ca_file": self.ca_file}
        if provider in self.logins:
            found |= {"host": HOST, "port": self.ports["starttls"], "security": "starttls"}
        else:
            found["base_url"] = self.url(provider)
        credentials, variables = self._credentials(provider)
        found |= {name: value for name, value in credentials.items() if name not in variables.values()}
        return [f"{name}={value}" for name, value in found.items()]

    def environ(self) -> dict[str, str]:
        """The variables that the files in `examples/` refer to, with the right values."""
        found: dict[str, str] = {}
        for provider in (*self.logins, *self.accounts):
            credentials, variables = self._credentials(provider)
            found |= {variable: credentials[name] for variable, name in variables.items()}
        found["ADP_CLIENT_CERTIFICATE"] = self.client_certificate.read_text()
        found["ADP_CLIENT_PRIVATE_KEY"] = self.client_key.read_text()
        return found

    def _credentials(self, provider: str) -> tuple[dict[str, str], Mapping[str, str]]:
        """Config fields with their right values, and which variable of the example holds which field."""
        if provider in self.logins:
            login = self.logins[provider]
            return {"username": login.username, "password": login.password}, MAIL[provider].variables
        return self.accounts[provider].credentials, VENDORS[provider].variables

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
        self, account: Account, context: ssl.SSLContext, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> None:
        self._open.add(writer)
        await serve(account.answer, context, reader, writer)
        self._open.discard(writer)

    async def _listen(self) -> list[asyncio.Server]:
        tls = self._authority.server_context()
        mutual = self._authority.server_context(ask_client=True)
        loop, servers = asyncio.get_running_loop(), {}
        for name, account in self.accounts.items():
            context = mutual if account.vendor.client_certificate else tls
            servers[name] = await asyncio.start_server(partial(self._accept, account, context), HOST, 0)
        servers["starttls"] = await loop.create_server(partial(self._postbox.starttls, tls), HOST, 0)
        servers["tls"] = await loop.create_server(self._postbox.implicit, HOST, 0, ssl=tls)
        if not all(server.sockets for server in servers.values()):
            raise OSError("no socket")  # asyncio leaves it at a line in its log
        self.ports = {name: server.sockets[0].getsockname()[1] for name, server in servers.items()}
        return list(servers.values())
