"""Google Calendar."""

from __future__ import annotations

from collections.abc import Mapping

from intctl.probes.ask import Answer, HttpProbe, RefreshToken
from intctl.providers.base import BASE_URL, CA_FILE, Field, Provider, asked, secret_of, text_of

_REASON = "/error/errors/0/reason"


class Google(Provider):
    """Google Calendar API v3 with a user's refresh token (its API description, read directly).

    Scope `calendar` or `calendar.readonly`. Token endpoint as Nango uses it. General knowledge, not
    confirmed: the refresh token stays the same when it is used, lapses after 6 months without use
    (7 days while the consent screen is in Testing) and is then answered with invalid_grant; 403 may
    be a rate limit instead of a missing permission, as its reason says.
    """

    name = "google"
    title = "Google Calendar"
    type = "calendar"
    speaks = "oauth"
    proof = "Refresh of the access token, then GET of one calendar list entry"
    fields = (
        Field("client_id", "OAuth client id", required=True, example="….apps.googleusercontent.com"),
        Field("client_secret", "OAuth client secret", secret=True, required=True),
        Field("refresh_token", "Refresh token of the user (access_type=offline)", secret=True, required=True),
        CA_FILE,
        BASE_URL,
    )

    def probe(self, config: Mapping[str, object]) -> HttpProbe:
        return HttpProbe(
            asked(config, "https://www.googleapis.com/calendar/v3/users/me/calendarList?maxResults=1"),
            RefreshToken(
                asked(config, "https://oauth2.googleapis.com/token"),
                text_of(config, "client_id"), secret_of(config, "client_secret"), secret_of(config, "refresh_token"),
            ),
            expect_json={"/kind": "calendar#calendarList"},
            answers=(
                Answer(403, "http.rate_limited", pointer=_REASON, equals="rateLimitExceeded"),
                Answer(403, "http.rate_limited", pointer=_REASON, equals="userRateLimitExceeded"),
                Answer(403, "http.scope_missing", pointer=_REASON, equals="insufficientPermissions",
                       detail="the token lacks the calendar scope"),
            ),
            ca_file=text_of(config, "ca_file") or None,
        )
