"""The table of causes: one row for each result of a check.

A code is stable: scripts and alerts depend on it. It determines the verdict, so that the same cause is judged
the same everywhere. `docs/codes.md` is generated from this table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from intctl.health.status import Verdict

Actor = Literal["nobody", "you", "provider", "us"]

#: Who has to act, for people.
ACTORS: dict[Actor, str] = {
    "nobody": "no one",
    "you": "you",
    "provider": "the provider",
    "us": "the operator of intctl",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """One row: the verdict, who has to act, the meaning, and the next step.

    `transient`: a timeout or a reset. The check retries it once within the deadline, and scheduled checks put the
    integration into error only at the failure threshold.
    `rejection`: the credential was definitely refused; a retry may lock the account, so scheduled checks stop.
    `slows`: a refusal that locks no account; scheduled checks become rare and never stop.
    """

    verdict: Verdict
    actor: Actor
    meaning: str
    next_step: str
    transient: bool = False
    rejection: bool = False
    slows: bool = False


def _ok(meaning: str) -> Cause:
    return Cause("healthy", "nobody", meaning, "Nothing to do.")


_LOOK_UP = (
    "Look the name up by hand (getent hosts HOST): if other names resolve, the domain's own name servers fail; "
    "if none does, check /etc/resolv.conf and the resolver."
)

CODES: dict[str, Cause] = {
    "ok": _ok("The provider answered as it should and accepted the credential, if it takes one"),
    # Names
    "dns.nxdomain": Cause(
        "down",
        "you",
        "The host name does not exist",
        "Check the spelling of host or base_url; ask the provider if the name was retired.",
    ),
    "dns.failure": Cause(
        "unknown", "us", "The look-up of the host name failed, which says nothing about the provider", _LOOK_UP
    ),
    "dns.timeout": Cause(
        "unknown",
        "us",
        "The host name could not be looked up in time (3 seconds at most), which says nothing about the provider",
        _LOOK_UP,
    ),
    "blocked.address": Cause(
        "misconfigured",
        "you",
        "The host leads to an address that intctl refuses to contact",
        "Point host or base_url elsewhere, or open the network with INTCTL_ALLOW_NETWORKS.",
    ),
    # Connection
    "connect.refused": Cause(
        "down",
        "provider",
        "Nothing listens on that port: the connection was refused",
        "Check host and port; if they are right, the provider's server is not running.",
    ),
    "connect.timeout": Cause(
        "down",
        "provider",
        "The connection was not answered in time (5 seconds at most)",
        "Check host and port and the firewall on the way; port 25 is often closed by networks.",
        transient=True,
    ),
    "connect.unreachable": Cause(
        "down",
        "provider",
        "The network on the way says that the host cannot be reached",
        "Check host and the routes to it.",
        transient=True,
    ),
    "connection.closed": Cause(
        "down",
        "provider",
        "The other side closed the connection in mid-exchange",
        "Check again; if it stays, check port and TLS mode, then ask the provider.",
        transient=True,
    ),
    "connection.reset": Cause(
        "down",
        "provider",
        "The other side, or a firewall, reset the connection",
        "Check again; if it stays, look at firewalls on the way, then ask the provider.",
        transient=True,
    ),
    "reply.timeout": Cause(
        "down",
        "provider",
        "The other side took the connection and then said nothing",
        "Check port and TLS mode; if they are right, the provider is overloaded or hung.",
        transient=True,
    ),
    "deadline": Cause(
        "down",
        "provider",
        "The exchange was still going on when its time was up",
        "The other side sends too slowly; check again, then ask the provider.",
        transient=True,
    ),
    "protocol.error": Cause(
        "down",
        "provider",
        "The other side does not keep to the protocol",
        "Check host and port: something else may listen there.",
    ),
    # A proxy of this machine
    "proxy.auth": Cause(
        "unknown",
        "us",
        "The proxy on the way asks for a user name and password",
        "Put them into HTTPS_PROXY on this machine: http://user:password@proxy.example.com:3128.",
    ),
    "proxy.refused": Cause(
        "unknown",
        "us",
        "The proxy on the way gives no connection, which says nothing about the provider",
        "Check HTTPS_PROXY and NO_PROXY on this machine, and ask the proxy's administrator whether it allows the host.",
    ),
    "self.proxy_policy": Cause(
        "unknown",
        "us",
        "With INTCTL_DENY_NETWORKS set, a name is not sent to a proxy, which could lead it to a denied network",
        "Add the host to NO_PROXY, or leave the choice of networks to the proxy and unset INTCTL_DENY_NETWORKS.",
    ),
    # TLS
    "tls.expired": Cause(
        "down",
        "provider",
        "The server's certificate has expired",
        "The provider must renew it; for a server of your own, renew the certificate there.",
    ),
    "tls.not_yet_valid": Cause(
        "down",
        "provider",
        "The server's certificate is not valid yet",
        "Check this machine's clock first; then the server's certificate.",
    ),
    "tls.wrong_host": Cause(
        "down",
        "provider",
        "The server's certificate is for another name",
        "Check host or base_url: use the name that the certificate was made for.",
    ),
    "tls.untrusted": Cause(
        "down",
        "provider",
        "The server's certificate comes from an authority that this machine does not trust",
        "Name a private authority's certificate with ca_file; from a public one, the server sends an incomplete chain.",
    ),
    "tls.expires_soon": Cause(
        "degraded", "provider", "It works, but the server's certificate expires soon", "See that it is renewed in time."
    ),
    "tls.timeout": Cause(
        "down",
        "provider",
        "The TLS handshake was not answered in time (5 seconds at most)",
        "Check port and TLS mode; 587 and 25 speak STARTTLS, 465 speaks TLS from the start.",
        transient=True,
    ),
    "tls.too_old": Cause(
        "down",
        "provider",
        "The server speaks no TLS version that is still safe",
        "The server must offer TLS 1.2 or newer.",
    ),
    "tls.weak": Cause(
        "down",
        "provider",
        "The server's certificate or key exchange is too weak to be safe",
        "The server needs a certificate with a stronger key (RSA of 2,048 bits or more) and a SHA-256 signature, and "
        "ECDHE or DH parameters of 2,048 bits.",
    ),
    "tls.not_spoken": Cause(
        "misconfigured",
        "you",
        "That port does not speak TLS",
        "Use another port or TLS mode: 465 with tls, 587 with starttls.",
    ),
    "tls.from_start": Cause(
        "misconfigured",
        "you",
        "That port speaks TLS from the start, and waits for it",
        "For mail, set security: tls, or use port 587 with security: starttls. For HTTP, use https:// in url or "
        "base_url.",
    ),
    "tls.client_certificate": Cause(
        "misconfigured",
        "you",
        "The server refused or missed a client certificate",
        "Check client_certificate and client_private_key: known to the provider, not expired, belonging together.",
        slows=True,
    ),
    "tls.handshake_failed": Cause(
        "down", "provider", "The TLS handshake failed", "Check port and TLS mode; then ask the provider."
    ),
    # SMTP
    "smtp.auth.rejected": Cause(
        "misconfigured",
        "you",
        "The mail server refused user name or password",
        "Put the right password in place: intctl edit NAME --secret FIELD. "
        "If it was put right at the provider: intctl reconnect NAME.",
        rejection=True,
    ),
    "auth.method": Cause(
        "misconfigured",
        "you",
        "The server offers no way to log in that fits this credential",
        "Read its words. For mail, check port and TLS mode; some providers want an app password or OAuth. For HTTP, "
        "set auth to a way that the server names.",
        slows=True,
    ),
    "tls.required": Cause(
        "misconfigured",
        "you",
        "The mail server wants TLS before a login",
        "Set security: starttls (port 587) or tls (port 465).",
    ),
    "starttls.missing": Cause(
        "down",
        "provider",
        "The mail server does not offer STARTTLS; no credential was sent",
        "Use port 465 with security: tls, or look for something on the way that strips STARTTLS.",
    ),
    "starttls.refused": Cause(
        "down",
        "provider",
        "The mail server offered STARTTLS and then refused it; no credential was sent",
        "Check again later; if it stays, ask the provider.",
    ),
    "starttls.injection": Cause(
        "down",
        "provider",
        "Extra replies came before TLS was up; no credential was sent",
        "Something on the way may be tampering: look at the network before trying again.",
    ),
    "provider.busy": Cause(
        "unknown",
        "provider",
        "The provider is throttling requests, so the credential could not be verified",
        "Nothing to do yet: the next check tries again. To save a config without a test, use --no-test.",
    ),
    "temporary": Cause(
        "degraded",
        "provider",
        "The mail server says: not now, try later",
        "Nothing to do yet; if it lasts, the provider throttles or is overloaded.",
    ),
    "rejected": Cause(
        "down",
        "provider",
        "The mail server turned us away",
        "Read its words: it may refuse this machine's address or be closed.",
    ),
    "helo.refused": Cause(
        "misconfigured",
        "you",
        "The mail server refused the name that this machine gives itself in EHLO",
        "Set helo_name to a name of this machine that the mail server can resolve: "
        "intctl edit NAME --set helo_name=agent.example.com.",
    ),
    "relay.denied": Cause(
        "misconfigured",
        "you",
        "The mail server takes no mail from this machine for that recipient",
        "Read its words. Have the mail server's administrator allow this machine to relay, or give username and "
        "password.",
        slows=True,
    ),
    "relay.unproven": Cause(
        "degraded",
        "you",
        "The mail server answers, but nothing proves that it takes mail from this machine",
        "Set from_email and probe_recipient, an address of another domain that it must take mail for. No mail is sent. "
        "If both are set, the next check asks again.",
    ),
    "not.smtp": Cause("misconfigured", "you", "What answers there is not a mail server", "Check host and port."),
    "sender.refused": Cause(
        "misconfigured",
        "you",
        "The mail server refused the sender address",
        "Verify from_email with the provider: the login may have to own it.",
    ),
    "recipient.refused": Cause(
        "misconfigured",
        "you",
        "The mail server refused the recipient",
        "Read its words: they may be about the recipient's address, the sender (from_email) or the right to relay.",
    ),
    # HTTP
    "http.auth.rejected": Cause(
        "misconfigured",
        "you",
        "The provider refused the credential",
        "Put the right credential in place: intctl edit NAME --secret FIELD. "
        "If it was put right at the provider: intctl reconnect NAME.",
        rejection=True,
    ),
    "http.forbidden": Cause(
        "down",
        "you",
        "The provider knows who asks and refuses it",
        "Check what the credential is allowed to do, and address allow-lists, in the provider's settings.",
        slows=True,
    ),
    "http.scope_missing": Cause(
        "degraded",
        "you",
        "The credential works, but lacks the permission that the check needs",
        "Grant the permission in the provider's settings if you want a full check.",
    ),
    "credential.unproven": Cause(
        "degraded",
        "you",
        "It answers, but just as well without the credential, so the credential is not proven",
        "Point url at something that only the credential opens, then run intctl check NAME.",
    ),
    "credential.uncompared": Cause(
        "degraded",
        "provider",
        "It answers with the credential; whether it does without it as well could not be found out",
        "Nothing to do yet: the next check asks again. If it stays so, look at what it says without the credential.",
    ),
    "http.account_inactive": Cause(
        "misconfigured",
        "you",
        "The credential works, but the account is suspended or closed",
        "Settle it with the provider.",
    ),
    "http.no_account": Cause(
        "misconfigured",
        "you",
        "The credential works, but opens no account or organisation",
        "Connect the organisation in the provider's settings, then run intctl reconnect NAME.",
    ),
    "not.found": Cause(
        "misconfigured",
        "you",
        "The provider does not know that address or account",
        "Check the account, tenant or subdomain fields, and base_url or url.",
    ),
    "http.rate_limited": Cause(
        "degraded",
        "provider",
        "The provider asks us to slow down",
        "Nothing to do: the next check waits as long as the provider asked.",
    ),
    # Quotas that the vendor reports
    "quota.high": Cause(
        "degraded",
        "you",
        "It works, but little of the quota is left",
        "Send less until the quota resets, or have the provider raise it.",
    ),
    # Down, not degraded: by the vendor's own figures and documents, it refuses every further request until the
    # quota resets.
    "quota.exhausted": Cause(
        "down",
        "you",
        "The credential works, but the quota is used up and the provider refuses everything beyond",
        "Wait until the quota resets, or have the provider raise it, then run intctl check NAME.",
    ),
    # Degraded, not down: with a credit line or an automatic top-up, a provider may continue at zero.
    "balance.empty": Cause(
        "degraded",
        "you",
        "The credential works, but the prepaid balance is used up, and the provider stops sending",
        "Top up the account at the provider, then run intctl check NAME.",
    ),
    "server.error": Cause(
        "down",
        "provider",
        "The provider answered with an error of its own",
        "Look at the provider's status page; check again later.",
    ),
    "unexpected.reply": Cause(
        "down",
        "provider",
        "The provider's answer is not what its interface promises",
        "Check url, base_url and what is expected: a login page or a proxy may be answering.",
    ),
    "redirect.refused": Cause(
        "down",
        "provider",
        "The provider sent us elsewhere; intctl does not follow with a credential",
        "Point base_url or url at the final address.",
    ),
    "http.plain": Cause(
        "misconfigured",
        "you",
        "The credential would cross the network unencrypted; it was not sent",
        "Use https:// in url or base_url; plain http:// is for this machine only.",
    ),
    "credential.malformed": Cause(
        "misconfigured",
        "you",
        "The credential holds characters that cannot be sent; nothing was sent",
        "Look for a line break or a stray character in it, then put the right one in place.",
    ),
    # OAuth
    "reauthorise": Cause(
        "down",
        "you",
        "The provider no longer accepts the refresh token",
        "Authorise again at the provider and put the new token in place (intctl edit NAME --secret FIELD).",
        rejection=True,
    ),
    "oauth.refused": Cause(
        "misconfigured",
        "you",
        "The token endpoint refuses this client, or what it asks for",
        "Read its words, and compare with the provider's settings: the kind of the app, its permissions (scope), and "
        "the account, tenant and client fields.",
        slows=True,
    ),
    "odd.token": Cause(
        "degraded",
        "provider",
        "It works, but the token's lifetime made no sense; one hour was assumed",
        "Nothing to do; tell the provider if you can.",
    ),
    # Faults and limits of this machine: never the provider's, never an outage
    "self.not_checked": Cause("unknown", "nobody", "Not checked since it was saved", "Run intctl check NAME."),
    "self.no_probe": Cause(
        "unknown",
        "nobody",
        "No read-only way to prove this provider is known",
        "Nothing to do: it is stored, and never shown as healthy.",
    ),
    "self.no_route": Cause(
        "unknown",
        "us",
        "This machine has no network route to the host",
        "Check this machine's network; the provider is not to blame yet.",
    ),
    "self.no_network": Cause(
        "unknown",
        "us",
        "Nothing was reachable from this machine; no provider was marked as failing",
        "Check this machine's network, firewall and resolver; see INTCTL_WITNESS.",
    ),
    "account.changed": Cause(
        "degraded",
        "you",
        "It works, but the credential now belongs to another account than before",
        "If that was meant, nothing to do: the next check is compared with the new account.",
    ),
    "self.denied_address": Cause(
        "unknown",
        "us",
        "This machine's INTCTL_DENY_NETWORKS refuses the address of the host",
        "Change INTCTL_DENY_NETWORKS on this machine, or check it from one that may contact that network.",
    ),
    "self.no_descriptors": Cause(
        "unknown",
        "us",
        "This machine has no file descriptors left",
        "Raise the limit (ulimit -n, LimitNOFILE=) or lower --concurrency.",
    ),
    "self.clock": Cause(
        "unknown",
        "us",
        "This machine's clock is too far off",
        "Set this machine's clock (NTP), then run intctl check NAME.",
    ),
    "self.ca_file": Cause(
        "unknown",
        "us",
        "The file named by ca_file cannot be used",
        "See that ca_file is readable by the user that runs intctl, cannot be changed by other users, and holds PEM "
        "certificates.",
    ),
    "self.no_authorities": Cause(
        "unknown",
        "us",
        "This machine has no set of trusted certificate authorities",
        "Install the system's CA certificates (ca-certificates), or set SSL_CERT_FILE or SSL_CERT_DIR.",
    ),
    "self.key_missing": Cause(
        "unknown",
        "us",
        "The key that this config is sealed with is not in the keyring",
        "Add the key to the keyring; nothing was changed.",
    ),
    "self.config_damaged": Cause(
        "unknown",
        "us",
        "The stored config failed its integrity check",
        "Restore the row, or set the config again with intctl edit NAME -f FILE.",
    ),
    "self.config_foreign": Cause(
        "unknown",
        "us",
        "The stored config is not in intctl's format",
        "Set the config with intctl edit NAME -f FILE; nothing was read from it.",
    ),
    "self.config_invalid": Cause(
        "unknown",
        "us",
        "The stored config does not fit this version's fields",
        "Set the config again with intctl edit NAME -f FILE.",
    ),
    "self.provider_unknown": Cause(
        "unknown", "us", "This version of intctl does not know the provider", "Upgrade intctl on this machine."
    ),
    "self.token_not_saved": Cause(
        "unknown",
        "us",
        "A new token could not be saved, so it was not used",
        "Check the database, then run intctl check NAME.",
    ),
    "self.token_single_use": Cause(
        "unknown",
        "us",
        "The refresh token can be used only once, and a test does not keep its successor; nothing was sent",
        "intctl check keeps the new one, as do add and apply with a file; intctl test -f FILE --spend-token loses it.",
    ),
    "self.database": Cause(
        "unknown",
        "us",
        "The database could not be asked during the check",
        "Check the database, then run intctl check NAME.",
    ),
    "self.busy": Cause(
        "unknown",
        "us",
        "Another process is checking it and holds its refresh token",
        "Try again in a minute: a process that died gives way by itself.",
    ),
    "self.row_locked": Cause(
        "unknown",
        "us",
        "Another database session keeps the integration's row locked, so no result can be recorded",
        "End that session: SELECT pid, application_name, query FROM pg_stat_activity "
        "WHERE state = 'idle in transaction'. Then run intctl check NAME.",
    ),
    "self.set_aside": Cause(
        "unknown",
        "us",
        "Three checks in a row ended without a result; set aside for an hour",
        "Run intctl check NAME and report what it shows.",
    ),
    "self.crash": Cause(
        "unknown", "us", "The check itself failed: a bug in intctl", "Please report it; the provider was not judged."
    ),
}


def anchor(code: str) -> str:
    """Return the anchor of this code's heading in `docs/codes.md`."""
    return code.replace(".", "")
