"""The probes for people, pay, hiring, files and customers, compared with the known facts about the vendors."""

import pytest

from intctl.probes.spec import (
    Basic,
    Bearer,
    ClientCredentials,
    Header,
    HttpProbe,
    NoProbe,
    RefreshToken,
    SigV4,
    TcpProbe,
)
from intctl.providers import catalogue
from intctl.text import Secret
from tests.probes import check
from tests.providers.test_probes import S, codes, http, provider
from tests.servers import Answer, http_server

CLIENT: dict[str, object] = {"client_id": "c", "client_secret": S}

KEYS: list[tuple[str, dict[str, object], str, object]] = [
    ("hibob", {"service_user_id": "u", "token": S}, "https://api.hibob.com/v1/company/named-lists", Basic("u", S)),
    ("rippling", {"api_token": S}, "https://rest.ripplingapis.com/workers", Bearer(S)),
    ("greenhouse", {"api_key": S}, "https://harvest.greenhouse.io/v1/users?per_page=1", Basic(S, "")),
    (
        "greenhouse",
        {**CLIENT, "user_id": "7"},
        "https://harvest.greenhouse.io/v3/users?per_page=1",
        ClientCredentials("https://auth.greenhouse.io/token", "c", S, client_in="basic", extra={"sub": "7"}),
    ),
    ("lever", {"api_key": S}, "https://api.lever.co/v1/users?limit=1", Basic(S, "")),
    ("workable", {"api_token": S}, "https://www.workable.com/spi/v3/accounts", Bearer(S)),
    (
        "smartrecruiters",
        {"api_key": S},
        "https://api.smartrecruiters.com/configuration/company",
        Header("X-SmartToken", S),
    ),
    ("linkedin", {"access_token": S}, "https://api.linkedin.com/v2/userinfo", Bearer(S)),
    ("ashby", {"api_key": S}, "https://api.ashbyhq.com/apiKey.info", Basic(S, "")),
    ("hubspot", {"access_token": S}, "https://api.hubapi.com/account-info/2026-09/details", Bearer(S)),
    ("pipedrive", {"api_token": S}, "https://api.pipedrive.com/v1/users/me", Header("x-api-token", S)),
    (
        "pipedrive",
        {"subdomain": "acme", "api_token": S},
        "https://acme.pipedrive.com/api/v1/users/me",
        Header("x-api-token", S),
    ),
]

EXCHANGES = [
    ("personio", {"api": "v2"}, "https://api.personio.de/v2/auth/token"),
    ("ukg", {"product": "pro", "host": "id.example.com", "tenant": "t1"},
     "https://id.example.com/signin/oauth2/t/t1/access_token"),
    ("ukg", {"product": "ready", "host": "saashr.example.com", "tenant": "t1"},
     "https://saashr.example.com/ta/rest/v2/companies/t1/oauth2/token"),
    ("sterling", {}, "https://auth.sterlingcheck.app/oauth/token"),
    ("certn", {"token_url": "https://auth.example.com/t"}, "https://auth.example.com/t"),
    ("paylocity", {}, "https://dc1prodgwext.paylocity.com/public/security/v1/token"),
    ("paylocity", {"environment": "testing"}, "https://dc1demogwext.paylocity.com/public/security/v1/token"),
]  # fmt: skip


@pytest.mark.parametrize(("name", "config", "url", "auth"), KEYS)
def test_keys(name: str, config: dict[str, object], url: str, auth: object) -> None:
    """The probe is the vendor's own call, with the credential in the vendor's place."""
    probe = http(name, **config)
    assert (probe.url, probe.auth) == (url, auth)


@pytest.mark.parametrize(("name", "config", "url"), EXCHANGES)
def test_exchanges(name: str, config: dict[str, object], url: str) -> None:
    """The token call is the proof, at the tenant's own endpoint."""
    probe = http(name, **CLIENT, **config)
    assert (probe.url, probe.auth) == ("", ClientCredentials(url, "c", S))


@pytest.mark.parametrize("name", ["hibob", "greenhouse", "linkedin"])
def test_a_key_without_the_permission_is_alive(name: str) -> None:
    """403 is a missing permission if the vendor distinguishes permissions from keys."""
    config = next(config for known, config, _, _ in KEYS if known == name)
    assert codes(http(name, **config), 403) == {"http.scope_missing"}


def test_personio_by_its_first_api() -> None:
    """Without `api` the token call that the vendor's own description has: a form without a grant, the token inside."""
    auth = http("personio", **CLIENT).auth
    assert isinstance(auth, ClientCredentials)
    assert (auth.token_url, auth.grant, auth.token_at) == ("https://api.personio.de/v1/auth", "", "/data/token")
    wrong = [problem.field for problem in provider("personio").check({**CLIENT, "scope": "x"})]
    assert wrong == ["scope"]


def test_ukg_for_its_other_products() -> None:
    """wfm adds the user and the tenant as realm; hcm is a service account with the customer's key."""
    user: dict[str, object] = {"host": "h.example.com", "username": "u", "password": S}
    auth = http("ukg", product="wfm", tenant="t1", **CLIENT, **user).auth
    assert isinstance(auth, ClientCredentials)
    assert auth.token_url == "https://h.example.com/oauth/token"
    assert (auth.extra["password"], auth.extra["realm"]) == (S, "t1")
    probe = http("ukg", product="hcm", customer_api_key=S, **user)
    assert probe.url == "https://h.example.com/configuration/v1/company-details?per_page=1"
    assert (probe.auth, probe.headers) == (Basic("u", S), {"US-Customer-Api-Key": S})
    assert "s" not in repr(probe.headers).split("'")
    complaints = [problem.field for problem in provider("ukg").check({"product": "wfm", "host": "h", "username": "u"})]
    assert complaints == ["tenant", "client_id", "client_secret", "password"]
    strangers = [problem.field for problem in provider("ukg").check({"product": "hcm", "host": "h", **CLIENT, **user})]
    assert strangers == ["client_id", "client_secret", "customer_api_key"]


def test_a_secret_in_another_header_is_masked() -> None:
    """UKG's customer key is masked if the server repeats it."""
    key = Secret("cnry-customer-key")
    echo = Answer(302, None, {"Location": f"/{key.reveal()}"})
    with http_server({"/configuration/v1/company-details": echo}) as server:
        config: dict[str, object] = {"host": "h.example.com", "username": "u", "password": S, "customer_api_key": key}
        found = check(http("ukg", product="hcm", **config, base_url=server.url))
        assert server.requests[0].headers["us-customer-api-key"] == key.reveal()
    assert found.code == "redirect.refused"
    assert "cnry" not in f"{found.message} {found.facts}"


def test_ashby_posts_and_reads_the_flag() -> None:
    """A POST that changes nothing; success: false under HTTP 200 is a refusal."""
    probe = http("ashby", api_key=S)
    assert (probe.method, probe.body_json, probe.expect_json) == ("POST", {}, {"/success": True})
    assert codes(probe, 200) == {"http.auth.rejected", "http.scope_missing"}


def test_workday_as_a_user_and_as_a_client() -> None:
    """With a refresh token Basic, without one the header ID and the tenant's alias."""
    base: dict[str, object] = {**CLIENT, "host": "wd3.example.com", "tenant": "acme"}
    url = "https://wd3.example.com/ccx/oauth2/acme/token"
    assert http("workday", **base).auth == ClientCredentials(
        url, "c", S, client_in="id", extra={"tenant_alias": "acme"}
    )
    assert http("workday", **base, refresh_token=S).auth == RefreshToken(url, "c", S, S, client_in="basic")


def test_gusto_spends_its_refresh_token() -> None:
    """JSON, the API's version, and a single-use refresh token."""
    probe = http("gusto", **CLIENT, refresh_token=S)
    assert probe.url == "https://api.gusto.com/v1/token_info"
    assert probe.auth == RefreshToken("https://api.gusto.com/oauth/token", "c", S, S, single_use=True, body="json")
    assert probe.headers["X-Gusto-API-Version"] == "2025-06-15"


def test_paychex_lists_its_companies() -> None:
    """Token and companies, as JSON."""
    probe = http("paychex", **CLIENT)
    assert probe.url == "https://api.paychex.com/companies"
    assert probe.auth == ClientCredentials("https://api.paychex.com/auth/oauth/v2/token", "c", S)


@pytest.mark.parametrize(
    ("environment", "host"),
    [({}, "quickbooks.api.intuit.com"), ({"environment": "sandbox"}, "sandbox-quickbooks.api.intuit.com")],
)
def test_quickbooks_asks_for_its_company(environment: dict[str, object], host: str) -> None:
    """The company at the environment's host; a refresh token that may be used more than once; the fault codes."""
    probe = http("quickbooks", **CLIENT, refresh_token=S, realm_id="1234567890", **environment)
    assert probe.url == f"https://{host}/v3/company/1234567890/companyinfo/1234567890"
    url = "https://oauth.platform.intuit.com/oauth2/v1/tokens/bearer"
    assert probe.auth == RefreshToken(url, "c", S, S, client_in="basic")
    assert (codes(probe, 401), codes(probe, 403)) == ({"http.auth.rejected"}, {"not.found", "http.scope_missing"})


def test_xero_as_a_user_and_as_a_custom_connection() -> None:
    """Both list the connections; an empty list is a good token without an organisation."""
    url = "https://identity.xero.com/connect/token"
    probe = http("xero", **CLIENT)
    assert (probe.url, codes(probe, 200)) == ("https://api.xero.com/Connections", {"http.no_account"})
    assert probe.auth == ClientCredentials(url, "c", S, client_in="basic")
    auth = http("xero", **CLIENT, refresh_token=S).auth
    assert auth == RefreshToken(url, "c", S, S, client_in="basic", single_use=True)


def test_salesforce_at_its_own_domain() -> None:
    """The organisation's own token endpoint, whose reply has no expires_in."""
    probe = http("salesforce", **CLIENT, domain="acme--dev.sandbox")
    url = "https://acme--dev.sandbox.my.salesforce.com/services/oauth2/token"
    assert (probe.url, probe.auth) == ("", ClientCredentials(url, "c", S, lifetime_s=1800))
    assert codes(probe, 400) == {"http.auth.rejected", "http.account_inactive"}


def test_s3_lists_one_key() -> None:
    """The request is signed for the bucket's region; S3's codes distinguish the key from its permissions."""
    probe = http("s3", bucket="files", region="eu-central-1", access_key_id="AKIA1", secret_access_key=S)
    assert probe.url == "https://s3.eu-central-1.amazonaws.com/files?list-type=2&max-keys=1"
    assert probe.auth == SigV4("AKIA1", S, "eu-central-1", "s3")
    assert codes(probe, 403) == {"http.auth.rejected", "http.scope_missing", "self.clock"}
    assert probe.expect_text and not probe.json


@pytest.mark.parametrize(
    ("config", "wanted"),
    [
        ({}, TcpProbe("ldap.example.com", 636, "tls")),
        ({"security": "none"}, TcpProbe("ldap.example.com", 636, "none")),
        ({"base_url": "tcp://localhost:6360"}, TcpProbe("localhost", 6360, "tls")),
        ({"ca_file": "/ca.pem"}, TcpProbe("ldap.example.com", 636, "tls", ca_file="/ca.pem")),
    ],
)
def test_tcp(config: dict[str, object], wanted: TcpProbe) -> None:
    """Host and port, TLS by default, and no credential."""
    known = provider("tcp")
    assert known.probe({"host": "ldap.example.com", "port": 636, **config}) == wanted
    assert known.secrets == frozenset()
    assert "no credential" in known.proof


@pytest.mark.parametrize("name", ["goodhire", "hireright", "monster", "glassdoor", "ziprecruiter"])
def test_nothing_is_asked_where_nothing_is_known(name: str) -> None:
    """The provider has a secret and no probe, and its proof line says so."""
    known = provider(name)
    assert known.probe({}) == NoProbe()
    assert known.secrets
    assert known.proof.startswith("None: ") and "never shown as healthy" in known.proof


def test_only_these_have_no_credential() -> None:
    """Every provider but tcp has a secret."""
    assert {name for name in catalogue.names() if not provider(name).secrets} == {"tcp"}


def test_certn_keeps_its_secret_off_plain_http() -> None:
    """token_url over http:// is for loopback only."""
    config = {**CLIENT, "token_url": "http://auth.example.com/t"}
    assert [problem.field for problem in provider("certn").check(config)] == ["token_url"]


def test_secrets_are_not_shown() -> None:
    """A probe's text holds no secret, signed or not."""
    word = Secret("cnry-work")
    config = {"bucket": "files", "region": "eu-central-1", "access_key_id": "AKIA1", "secret_access_key": word}
    assert isinstance(provider("s3").probe(config), HttpProbe)
    assert "cnry" not in repr(provider("s3").probe(config))
