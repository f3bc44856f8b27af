"""Google Calendar."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.spec import Answer, HttpProbe, SignedJwt
from intctl.providers.base import CLIENT, OAUTH, REFRESH_TOKEN, Field, Provider, refresh_token, secret_of, text_of

_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
_SCOPE = "https://www.googleapis.com/auth/calendar.readonly"
_SAID = {"insufficientPermissions": "http.scope_missing", "accessNotConfigured": "http.scope_missing"}
_NARROW = ("ACCESS_TOKEN_SCOPE_INSUFFICIENT", "SERVICE_DISABLED")


class Google(Provider):
    """Google Calendar API v3 with a user's refresh token or a service account (its API description, read directly).

    Scope `calendar` or `calendar.readonly`. Token endpoint as Nango uses it. General knowledge, not
    confirmed: the refresh token stays the same when it is used, expires after 6 months without use
    (7 days while the consent screen is in Testing) and then causes invalid_grant; 403 may be a rate
    limit instead of a missing permission, depending on its reason; a service account signs a
    statement for scope calendar.readonly, for the user `subject` if its domain allows that.
    """

    name = "google"
    title = "Google Calendar"
    type = "calendar"
    speaks = "oauth"
    proof = "Token exchange, then GET of one calendar list entry"
    scopes = _SCOPE
    cost = "1 request, and a token call when the stored token has expired"
    docs = "https://developers.google.com/calendar/api/v3/reference/calendarList/list"
    confidence = "vendor"
    ways = (OAUTH, ("service_account", "private_key"))
    fields = (
        *(field.replace(required=False) for field in CLIENT),
        REFRESH_TOKEN.replace(required=False, help="Refresh token of the user (access_type=offline)"),
        Field(
            "service_account",
            "Instead: client_email of a service account's key file",
            kind="email",
            example="robot@project.iam.gserviceaccount.com",
        ),
        Field("private_key", "Its private_key", kind="pem", secret=True),
        Field(
            "subject",
            "User on whose behalf the service account acts",
            kind="email",
            example="person@company.com",
            beside="service_account",
        ),
    )

    def build_probe(self, config: Mapping[str, object]) -> HttpProbe:
        robot = "service_account" in config
        return HttpProbe(
            "https://www.googleapis.com/calendar/v3/users/me/calendarList?maxResults=1",
            SignedJwt(
                _TOKEN_URL,
                text_of(config, "service_account"),
                secret_of(config, "private_key"),
                _TOKEN_URL,
                _SCOPE,
                text_of(config, "subject"),
            )
            if robot
            else refresh_token(config, _TOKEN_URL),
            expect_json={"/kind": "calendar#calendarList"},
            answers=(
                *(
                    Answer(403, code, pointer="/error/errors/0/reason", equals=reason, detail=reason)
                    for reason, code in _SAID.items()
                ),
                # The newer form of Google's errors: google.rpc.ErrorInfo.
                *(Answer(403, "http.scope_missing", contains=f'"{reason}"', detail=reason) for reason in _NARROW),
            ),
        )
