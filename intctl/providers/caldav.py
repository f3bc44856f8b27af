"""A CalDAV server."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe
from intctl.providers.base import Field, FieldProblem, Provider, auth_from_config, plain_http_problem, text_of

_QUESTION = '<?xml version="1.0"?><propfind xmlns="DAV:"><prop><current-user-principal/></prop></propfind>'


class CalDav(Provider):
    """A calendar server of your own choice that supports CalDAV (RFC 4791): iCloud, Nextcloud, Fastmail, Baikal …

    PROPFIND (RFC 4918) with Depth 0 reads the owner of the credential: the property
    current-user-principal (RFC 5397), in a 207 Multi-Status. A server that allows anonymous reads
    may reply with the element `unauthenticated` (there too): it did not accept the credential. 401
    is a wrong one. Method, status and property: the RFCs. Not every server knows the property; the
    reply of one that does not is unexpected. iCloud is `https://caldav.icloud.com` with an app-specific
    password, Nextcloud `https://HOST/remote.php/dav` (third-party sources). Google's accepts only a
    bearer token (general knowledge): use provider google.
    """

    name = "caldav"
    title = "CalDAV"
    type = "calendar"
    proof = "PROPFIND of the principal that the credential belongs to; no calendar is read"
    scopes = "none: any user of the server"
    limits = "the server's own"
    docs = "https://www.rfc-editor.org/rfc/rfc4791"
    confidence = "standard"
    ways = (("username", "password"), ("token",))
    fields = (
        Field(
            "url",
            "Address of the calendar server",
            kind="url",
            required=True,
            destination=True,
            pattern=r"[^?#]*",
            example="https://cloud.example.com/remote.php/dav",
        ),
        Field("username", "User name", example="person@company.com"),
        Field("password", "Password, an app password if the server has them", secret=True),
        Field("token", "Bearer token, instead of user name and password", secret=True),
    )

    def check(self, config: Mapping[str, object]) -> list[FieldProblem]:
        return super().check(config) + plain_http_problem(config, "url")

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            text_of(config, "url"),
            auth_from_config(config),
            "PROPFIND",
            body_text=_QUESTION,
            expect_status=207,
            json=False,
            headers={"Depth": "0", "Content-Type": "application/xml; charset=utf-8", "Accept": "application/xml"},
            expect_text="current-user-principal>",
            answers=(
                Answer(207, "http.auth.rejected", contains="unauthenticated", detail="the server treats it as no user"),
                Answer(405, "not.found", detail="the server does not allow PROPFIND there: check url"),
            ),
            compare_without=True,
        )
