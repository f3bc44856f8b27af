"""OAuth token exchanges: a grant, exchanged for an access token over the probe's own transport.

A rotated refresh token is saved before its access token is used: the old one may already be
revoked, and a crash in between must not lose the new one. It can be lost only between the
provider's reply and the end of that save; nothing else happens in that window. Whatever came of the reply is read
for it (`token_reply`), saved first and judged afterwards.
"""

from __future__ import annotations

import asyncio
import re
from base64 import b64encode
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from typing import Any
from urllib.parse import quote

import httpx

from intctl.failpoint import hit
from intctl.probes.auth import Authenticator, Send, TokenStore, plain
from intctl.probes.reply import HEADERS, MISSING, Judgement, Reply, by_status, judge, note_clock, retry_after, value_at
from intctl.probes.spec import ClientCredentials, HttpProbe, RefreshToken, SignedJwt, TokenGrant, Tokens
from intctl.probes.token_reply import TOKEN_BODY, issued
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import Secret

#: A stored access token that expires within this time is not used, in seconds.
LEEWAY_S = 60
#: The longest time that an access token is stored, in seconds. So the exchange is made at least once an hour, or
#: at each check if checks are less frequent: that is how soon a revoked grant is detected.
MAX_STORED_S = 1800
#: The lifetime of a token for which the provider gives no valid one, in seconds.
ASSUMED_LIFETIME_S = 3600
#: A lifetime beyond 400 days is odd.
MAX_SANE_S = 400 * 86400

# Microsoft's error numbers, with the next step.
_AADSTS = {
    "AADSTS7000222": ("http.auth.rejected", "the client secret has expired (AADSTS7000222): create a new one in Entra"),
    "AADSTS7000215": (
        "http.auth.rejected",
        "the client secret is wrong (AADSTS7000215): use the secret's value, not its ID",
    ),
    "AADSTS700016": ("http.auth.rejected", "the tenant has no application with this client ID (AADSTS700016)"),
    "AADSTS90002": ("not.found", "there is no tenant with this ID (AADSTS90002)"),
    "AADSTS53003": ("http.forbidden", "a conditional access rule blocks it (AADSTS53003)"),
}
_OAUTH = {
    "invalid_client": "http.auth.rejected",
    "invalid_grant": "http.auth.rejected",
    "access_denied": "http.forbidden",
    "temporarily_unavailable": "server.error",
    "server_error": "server.error",
    "slow_down": "http.rate_limited",
    "unauthorized_client": "oauth.refused",
    "unsupported_grant_type": "oauth.refused",
    "invalid_request": "oauth.refused",
    "invalid_scope": "oauth.refused",
    "invalid_target": "oauth.refused",
}
# A person must log in again: OpenID Connect Core §3.1.2.6; Microsoft, "Microsoft Entra authentication and authorization
# error codes" (AADSTS50076 asks for a second factor).
_LOG_IN_AGAIN = frozenset({"interaction_required", "consent_required", "login_required", "account_selection_required"})


_TIME = re.compile(r"\b(iat|exp|nbf|time\w*|clock|expired|lived)\b", re.IGNORECASE)


class GrantAuth(Authenticator, httpx.Auth):
    """A grant and its stored tokens.

    The fact `token_exchanged` says whether the token endpoint issued an access token in this
    check, `refresh_token_replaced` that it also issued a new refresh token.
    """

    def __init__(
        self, grant: TokenGrant, store: TokenStore | None, send: Send, trace: Trace, clock: Callable[[], float]
    ) -> None:
        self._grant = grant
        self._store = store
        self._send = send
        self._trace = trace
        self._clock = clock
        self._shown: Secret | None = None
        trace.facts.setdefault("token_exchanged", False)
        if isinstance(grant, SignedJwt):
            trace.add_secret(grant.private_key)
            return
        trace.add_secret(grant.client_secret, f"{grant.client_id}:{grant.client_secret.reveal()}")
        if isinstance(grant, RefreshToken):
            trace.add_secret(grant.refresh_token)

    async def async_auth_flow(self, request: httpx.Request) -> AsyncGenerator[httpx.Request, httpx.Response]:
        access, new = await self.access()
        response = yield self._with(request, access)
        if response.status_code == 401 and not new:  # the token was revoked early; the grant may still be valid
            access, _ = await self.access(fresh=True)
            yield self._with(request, access)
        hit("token_api_answered")

    def headers(self, _method: str, _url: str, _content: bytes) -> dict[str, str]:
        if self._shown is None:
            raise ProbeFailed("self.config_invalid", "there is no access token yet")
        return {"Authorization": "Bearer " + self._shown.reveal()}

    async def prove(self, probe: HttpProbe, /) -> Judgement:
        stored = await self._load()
        reply = await self._call(stored)
        if reply.status != 200 and probe.answers:
            special = judge(probe, reply, self._trace, self._clock())
            if special[0] in {answer.code for answer in probe.answers}:
                return special
        self._shown = await self._granted(reply, stored)
        return "ok", "", None

    async def access(self, *, fresh: bool = False) -> tuple[Secret, bool]:
        stored = await self._load()
        access = None if fresh else self._still_good(stored)
        if access is not None:
            return access, False
        access = await self._granted(await self._call(stored), stored)
        hit("token_before_api")
        return access, True

    # --- stored tokens

    async def _load(self) -> Tokens | None:
        if self._store is None:
            return None
        try:
            stored = await self._store.load()
        except Exception:
            raise ProbeFailed("self.database") from None
        if stored is not None:
            self._trace.add_secret(stored.access_token, stored.refresh_token)
        return stored

    @staticmethod
    async def _reserved(store: TokenStore) -> bool:
        try:
            return await store.reserve()
        except Exception:
            raise ProbeFailed("self.database") from None

    def _still_good(self, stored: Tokens | None) -> Secret | None:
        if stored is None or stored.access_token is None or stored.expires_at is None:
            return None
        if isinstance(self._grant, RefreshToken) and stored.origin != self._grant.refresh_token:
            return None
        left = stored.expires_at - self._clock()
        # A longer lifetime than any stored token has: this machine's clock was set back since.
        return stored.access_token if LEEWAY_S < left <= MAX_STORED_S + LEEWAY_S else None

    def _refresh_token(self, stored: Tokens | None) -> Secret | None:
        """The refresh token to use: the latest successor of the one in the manifest."""
        if not isinstance(self._grant, RefreshToken):
            return None
        if stored is not None and stored.origin == self._grant.refresh_token and stored.refresh_token is not None:
            return stored.refresh_token
        return self._grant.refresh_token

    async def _keep(self, access: Secret | None, document: dict[str, Any], stored: Tokens | None) -> Secret | None:
        """Save the issued tokens. Return the access token to use: another process may have saved one first."""
        tokens = Tokens(None, None, scope=self._grant.scope)
        if access is not None:
            self._trace.add_secret(access)
            lifetime = self._lifetime(document.get("expires_in", MISSING))
            if not self.odd and _sendable(access.reveal()):  # else the next check must see the same problem
                tokens = Tokens(access, self._clock() + lifetime, scope=self._grant.scope)
        used = self._refresh_token(stored)
        if used is not None and isinstance(self._grant, RefreshToken):
            given = document.get("refresh_token")
            successor = Secret(given) if isinstance(given, str) and given else used
            self._trace.add_secret(successor)
            if successor != used:
                self._trace.facts["refresh_token_replaced"] = True
            tokens = replace(tokens, refresh_token=successor, origin=self._grant.refresh_token)
        if self._store is None or (tokens.access_token is None and tokens.refresh_token in (None, used)):
            return access
        saved = await self._save(self._store, tokens)
        if saved.access_token is not None and saved.access_token != tokens.access_token:
            self._trace.add_secret(saved.access_token)
            return saved.access_token
        return access

    async def _save(self, store: TokenStore, tokens: Tokens) -> Tokens:
        saving = asyncio.ensure_future(store.save(tokens))
        try:
            return await asyncio.shield(saving)
        except asyncio.CancelledError:
            await asyncio.wait({saving})  # the provider does not send it again: save it even after the deadline
            if not saving.cancelled():
                saving.exception()
            raise
        except Exception:
            raise ProbeFailed("self.token_not_saved") from None

    def _lifetime(self, value: object) -> float:
        """Seconds for which the token is stored. Sets `odd` if the provider's value is not valid."""
        try:
            seconds = float(value) if isinstance(value, int | float | str) and not isinstance(value, bool) else 0.0
        except (ValueError, OverflowError):
            seconds = 0.0
        if value is MISSING and isinstance(self._grant, ClientCredentials) and self._grant.lifetime_s:
            return self._grant.lifetime_s
        if not 0 < seconds <= MAX_SANE_S:
            self.odd = "expires_in is missing" if value is MISSING else "expires_in is not a valid lifetime"
            seconds = ASSUMED_LIFETIME_S
        return min(max(seconds, LEEWAY_S), MAX_STORED_S)

    # --- requests

    def _with(self, request: httpx.Request, access: Secret) -> httpx.Request:
        self._trace.add_secret(access)
        self._shown = access
        request.headers["Authorization"] = "Bearer " + access.reveal()
        return request

    async def _call(self, stored: Tokens | None) -> Reply:
        request = self._token_request(stored)
        if self._store is not None and not await self._reserved(self._store):
            raise ProbeFailed("self.row_locked")
        hit("token_before_call")
        try:
            reply = await self._send(request)
        except asyncio.CancelledError:  # the deadline, in the middle of a reply that may have the new refresh token
            if partial := request.extensions["partial"]:
                await self._rescue(partial[-1](), stored)
            raise
        except ProbeFailed as found:  # of another host than the provider's, for mail
            where = f"token endpoint {request.url.host}"
            if found.code.startswith("dns."):
                self._trace.facts["host"] = request.url.host
            detail = f"{where}: {found.detail}" if found.detail else where
            raise ProbeFailed(found.code, detail, retry_after_s=found.retry_after_s) from None
        hit("token_answer_read")
        return reply

    def _token_request(self, stored: Tokens | None) -> httpx.Request:
        grant = self._grant
        refresh = self._refresh_token(stored)
        if isinstance(grant, RefreshToken) and grant.single_use and self._store is None:
            raise ProbeFailed("self.token_single_use")
        headers = dict(HEADERS)
        fields = (
            self._assertion(grant) if isinstance(grant, SignedJwt) else self._client_fields(grant, refresh, headers)
        )
        if grant.scope and not isinstance(grant, SignedJwt):
            fields["scope"] = grant.scope
        as_json = not isinstance(grant, SignedJwt) and grant.body == "json"
        content: dict[str, Any] = {"json": fields} if as_json else {"data": fields}
        try:
            extensions = {"phase": "auth", "max_body": TOKEN_BODY, "partial": []}
            return httpx.Request("POST", grant.token_url, headers=headers, extensions=extensions, **content)
        except (httpx.InvalidURL, ValueError, TypeError):
            raise ProbeFailed("self.config_invalid", "the URL of the token endpoint cannot be used") from None

    def _client_fields(
        self, grant: ClientCredentials | RefreshToken, refresh: Secret | None, headers: dict[str, str]
    ) -> dict[str, str]:
        """The fields of the token request. Adds the client's id and secret to them, or to `headers`."""
        fields = {name: plain(value) for name, value in grant.extra.items()}
        self._trace.add_secret(*(value for value in grant.extra.values() if isinstance(value, Secret)))
        if refresh is not None:
            fields |= {"grant_type": "refresh_token", "refresh_token": refresh.reveal()}
        elif isinstance(grant, ClientCredentials) and grant.grant:
            fields["grant_type"] = grant.grant
        if grant.client_in == "body":
            return fields | {"client_id": grant.client_id, "client_secret": grant.client_secret.reveal()}
        pair = f"{grant.client_id}:{grant.client_secret.reveal()}"
        if grant.client_in == "basic":  # RFC 6749 §2.3.1: both halves are form-encoded first.
            pair = f"{quote(grant.client_id, safe='')}:{quote(grant.client_secret.reveal(), safe='')}"
        self._trace.add_secret(pair)
        scheme = "Basic" if grant.client_in == "basic" else "ID"
        headers["Authorization"] = f"{scheme} {b64encode(pair.encode()).decode()}"
        return fields

    def _assertion(self, grant: SignedJwt) -> dict[str, str]:
        from intctl.probes.jwt import signed

        statement = signed(grant, self._clock())
        self._trace.add_secret(Secret(statement))
        return {"grant_type": "urn:ietf:params:oauth:grant-type:jwt-bearer", "assertion": statement}

    # --- replies

    async def _granted(self, reply: Reply, stored: Tokens | None, *, last: bool = False) -> Secret:
        """Return the access token of a token reply, after saving its refresh token. Raises ProbeFailed.

        If the provider refused the refresh token because another process had just used it, that
        process's access token is used, or its refresh token once, if the access token has expired.
        """
        access = await self._issued(reply, stored)
        if access is not None:
            if not _sendable(access.reveal()):  # raised after the save: its refresh token may be the only valid one
                raise ProbeFailed("unexpected.reply", "the token has characters that are not allowed in a header")
            return access
        document = reply.json(constants=True)
        self._trace.facts["http_status"] = reply.status
        note_clock(reply, self._trace, self._clock())
        # A reply of a failing or throttling server proves nothing about the token, whatever its body says.
        judged = reply.status < 500 and reply.status != 429
        error = _error(document)
        if judged and error in _LOG_IN_AGAIN:
            raise ProbeFailed("reauthorise", f"token endpoint: {_aadsts(document) or error}")
        if judged and isinstance(self._grant, RefreshToken) and error == "invalid_grant":
            now = await self._load()
            if last or self._refresh_token(now) == self._refresh_token(stored):
                raise ProbeFailed("reauthorise", self._why_refused(self._grant, document))
            theirs = self._still_good(now)
            return theirs or await self._granted(await self._call(now), now, last=True)
        raise self._refused(reply, document, judged=judged)

    async def _issued(self, reply: Reply, stored: Tokens | None) -> Secret | None:
        """Save the tokens of a token reply, as far as it can be read. Return the access token to use, if it has one."""
        pointer = self._grant.token_at if isinstance(self._grant, ClientCredentials) else "/access_token"
        document = issued(reply, pointer)
        place = value_at(document, pointer.rpartition("/")[0])
        if not isinstance(place, dict):
            return None
        granted = value_at(document, pointer)
        access = Secret(granted) if isinstance(granted, str) and granted else None
        if access is not None:
            self._trace.facts["token_exchanged"] = True
        return await self._keep(access, place, stored)

    async def _rescue(self, reply: Reply, stored: Tokens | None) -> None:
        """Save what can be read of a reply whose end was not waited for."""
        with suppress(ProbeFailed):  # the check has ended already
            await self._issued(reply, stored)

    @staticmethod
    def _why_refused(grant: RefreshToken, document: Any) -> str:
        if number := _aadsts(document):
            return number
        # intctl cannot know which of these happened, so it asserts none of them.
        return "revoked, expired, or used by an exchange whose reply was lost" if grant.single_use else ""

    def _refused(self, reply: Reply, document: Any, *, judged: bool) -> ProbeFailed:
        where = "token endpoint"
        if 200 <= reply.status < 300:
            if reply.fault:
                return ProbeFailed(reply.fault, f"{where}: the reply is not complete")
            why = "the reply has no access token" if isinstance(document, dict) else "the reply is not JSON"
            return ProbeFailed("unexpected.reply", f"{where}: {why}")
        number = _aadsts(document)
        if number in _AADSTS:
            return ProbeFailed(*_AADSTS[number])
        skew = self._trace.facts.get("clock_skew_s")
        if isinstance(skew, int) and isinstance(self._grant, SignedJwt) and judged and _of_its_time(document):
            return ProbeFailed(
                "self.clock", f"{where}: {abs(skew)} s {'ahead of' if skew > 0 else 'behind'} the provider's"
            )
        code, detail = by_status(reply, self._trace)
        error = _error(document)
        if judged:
            code = _OAUTH.get(error, code)
            if code == "unexpected.reply" and reply.status == 400 and isinstance(document, dict):
                code = "oauth.refused"  # what a token endpoint calls a bad request is this client's request
        given = number or error or (_words(document) if code == "oauth.refused" else "")
        said = f", {given if given in _OAUTH else self._trace.sanitize(given, 100)}" if given else ""
        wait = retry_after(reply.headers.get("retry-after", ""), self._clock()) if reply.status in (429, 503) else None
        return ProbeFailed(code, f"{where}: {detail}{said}", retry_after_s=wait)


def _sendable(token: str) -> bool:
    return token.isascii() and token.isprintable() and " " not in token


def _error(document: Any) -> str:
    error = document.get("error") if isinstance(document, dict) else None
    return error if isinstance(error, str) else ""


def _words(document: Any) -> str:
    """The vendor's sentence in an error reply that is not OAuth's, or ""."""
    for name in ("message", "error_description", "errorMessage", "detail", "title"):
        if isinstance(found := document.get(name), str):
            return found
    return ""


def _of_its_time(document: Any) -> bool:
    """Whether the provider may have refused a signed statement because of its timestamps."""
    text = document.get("error_description") if isinstance(document, dict) else None
    return _error(document) == "invalid_grant" and (not isinstance(text, str) or bool(_TIME.search(text)))


def _aadsts(document: Any) -> str:
    """Microsoft's error number at the start of the description, or ""."""
    text = document.get("error_description") if isinstance(document, dict) else None
    head = text.partition(":")[0].strip() if isinstance(text, str) else ""
    return head if head.startswith("AADSTS") and head[6:].isdecimal() and len(head) < 20 else ""
