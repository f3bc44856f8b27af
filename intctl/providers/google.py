"""Google Calendar."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, HttpProbe, RefreshToken, SignedJwt
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_REASON = "/error/errors/0/reason"
_TOKEN_URL = "https://oauth2.googleapis.com/token"  # noqa: S105
_USER = ("client_id", "client_secret", "refresh_token")
_ROBOT = ("service_account", "private_key")


class Google(Provider):
    """Google Calendar API v3 with a user's refresh token or a service account (its API description, read directly).

    Scope `calendar` or `calendar.readonly`. Token endpoint as Nango uses it. General knowledge, not
    confirmed: the refresh token stays the same when it is used, lapses after 6 months without use
    (7 days while the consent screen is in Testing) and is then answered with invalid_grant; 403 may
    be a rate limit instead of a missing permission, as its reason says; a service account signs a
    statement for scope calendar.readonly, for the user `subject` where its domain allows that.
    """

    name = "google"
    title = "Google Calendar"
    type = "calendar"
    speaks = "oauth"
    proof = "Refresh of the access token, then GET of one calendar list entry"
    fields = (
        Field("client_id", "OAuth client id", example="….apps.googleusercontent.com"),
        Field("client_secret", "OAuth client secret", secret=True),
        Field("refresh_token", "Refresh token of the user (access_type=offline)", secret=True),
        Field("service_account", "Instead: client_email of a service account's key file", kind="email",
              example="robot@project.iam.gserviceaccount.com"),
        Field("private_key", "Its private_key", kind="pem", secret=True),
        Field("subject", "The user for whom the service account acts", kind="email", example="person@company.com"),
        CA_FILE,
        BASE_URL,
    )

    def check(self, config: Mapping[str, object]) -> list[tuple[str, str]]:
        robot = any(name in config for name in (*_ROBOT, "subject"))
        found = super().check(config)
        found += [(name, "is missing") for name in (_ROBOT if robot else _USER) if name not in config]
        return found + [(name, "not with a service account") for name in _USER if robot and name in config]

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://www.googleapis.com/calendar/v3/users/me/calendarList?maxResults=1"),
            self._auth(config),
            expect_json={"/kind": "calendar#calendarList"},
            answers=(
                Answer(403, "http.rate_limited", pointer=_REASON, equals="rateLimitExceeded"),
                Answer(403, "http.rate_limited", pointer=_REASON, equals="userRateLimitExceeded"),
                Answer(403, "http.scope_missing", pointer=_REASON, equals="insufficientPermissions",
                       detail="the token lacks the calendar scope"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )

    @staticmethod
    def _auth(config: Mapping[str, object]) -> RefreshToken | SignedJwt:
        token_url = asked(config, _TOKEN_URL)
        if "service_account" in config:
            return SignedJwt(
                token_url, text_of(config, "service_account"), secret_of(config, "private_key"), _TOKEN_URL,
                "https://www.googleapis.com/auth/calendar.readonly", text_of(config, "subject"),
            )
        return RefreshToken(
            token_url, text_of(config, "client_id"), secret_of(config, "client_secret"),
            secret_of(config, "refresh_token"),
        )
