"""TLS: contexts, facts of a certificate, and the meaning of a failed handshake."""

from __future__ import annotations

import os
import re
import ssl
import tempfile
from contextlib import suppress
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from secrets import token_urlsafe
from typing import TYPE_CHECKING, Any

from intctl.probes.names import descriptors_gone
from intctl.probes.spec import ClientCertificate
from intctl.probes.trace import ProbeFailed, Trace
from intctl.text import clean
from intctl.trust import anchor_problem

if TYPE_CHECKING:
    from cryptography.x509 import Certificate, Name, ObjectIdentifier

#: A certificate that expires within this time causes a warning, in seconds.
EXPIRES_SOON_S = 14 * 86400

_DER = 2  # _ssl.ENCODING_DER

_HASHED = re.compile(r"[0-9a-f]{8}\.\d+")
_CAPATH = "/etc/ssl/certs"

_NOT_TLS = {
    "WRONG_VERSION_NUMBER",
    "HTTP_REQUEST",
    "UNKNOWN_PROTOCOL",
    "PACKET_LENGTH_TOO_LONG",
    "RECORD_LAYER_FAILURE",
    "UNEXPECTED_MESSAGE",
    "BAD_RECORD_TYPE",
}
_TOO_OLD = {"UNSUPPORTED_PROTOCOL", "TLSV1_ALERT_PROTOCOL_VERSION", "NO_PROTOCOLS_AVAILABLE", "VERSION_TOO_LOW"}
_WEAK = {
    "DH_KEY_TOO_SMALL": "its Diffie-Hellman parameters are too short",
    "EE_KEY_TOO_SMALL": "the key of its certificate is too weak",
    "CA_KEY_TOO_SMALL": "the key of an authority in its chain is too weak",
    "CA_MD_TOO_WEAK": "a signature in its chain is too weak",
    "EE_KEY_NOT_SUPPORTED": "the key of its certificate is too weak",
}
_CLIENT_CERTIFICATE = {
    "TLSV13_ALERT_CERTIFICATE_REQUIRED",
    "TLSV1_ALERT_UNKNOWN_CA",
    "TLSV1_ALERT_ACCESS_DENIED",
    "SSLV3_ALERT_BAD_CERTIFICATE",
    "SSLV3_ALERT_CERTIFICATE_UNKNOWN",
    "SSLV3_ALERT_CERTIFICATE_EXPIRED",
    "SSLV3_ALERT_CERTIFICATE_REVOKED",
    "SSLV3_ALERT_UNSUPPORTED_CERTIFICATE",
    "SSLV3_ALERT_NO_CERTIFICATE",
}
# OpenSSL's X509_V_ERR_* numbers.
_NO_ISSUER = 20
_VERIFY = {
    9: ("tls.not_yet_valid", ""),
    10: ("tls.expired", ""),
    18: ("tls.untrusted", "it is self-signed"),
    19: ("tls.untrusted", "it was issued by a private authority"),
    20: ("tls.untrusted", "its issuer is unknown, or the server leaves out an intermediate certificate"),
    21: ("tls.untrusted", "the server leaves out an intermediate certificate"),
    23: ("tls.untrusted", "it was revoked"),
    62: ("tls.wrong_host", ""),
    64: ("tls.wrong_host", ""),
    66: ("tls.weak", _WEAK["EE_KEY_TOO_SMALL"]),
    67: ("tls.weak", _WEAK["CA_KEY_TOO_SMALL"]),
    68: ("tls.weak", _WEAK["CA_MD_TOO_WEAK"]),
}

#: The codes for which a second handshake reads details of the refused certificate.
CERTIFICATE_CODES = frozenset({"tls.expired", "tls.not_yet_valid", "tls.wrong_host", "tls.untrusted", "tls.weak"})

#: The time limit of that handshake, in seconds.
LOOK_S = 2.0


def context(ca_file: str | None, certificate: ClientCertificate | None = None) -> ssl.SSLContext:
    """Return the context for these authorities: one per process, or a new one for a client certificate.

    `ca_file` replaces the system's authorities. Raises ProbeFailed (`self.ca_file`,
    `self.no_authorities`, `tls.client_certificate`).
    """
    stamp = 0
    if ca_file is not None:
        try:
            found = os.stat(ca_file)  # noqa: PTH116 -- a Path costs five times as much, each check
        except (OSError, ValueError):
            raise ProbeFailed("self.ca_file", f"{clean(ca_file)} cannot be read") from None
        if problem := anchor_problem(ca_file, found):
            raise ProbeFailed("self.ca_file", f"{clean(ca_file)}: {problem}")
        stamp = found.st_mtime_ns
    if certificate is None:
        return _shared(ca_file, stamp)
    made = _make(ca_file)
    _show_certificate(made, certificate)
    return made


def unverified() -> ssl.SSLContext:
    """Return a context that trusts every server: to read a refused certificate, never to send anything."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.check_hostname = False
    made.verify_mode = ssl.CERT_NONE
    made.set_ciphers("ALL:@SECLEVEL=0")
    return made


@lru_cache(maxsize=64)
def _shared(ca_file: str | None, _stamp: int) -> ssl.SSLContext:
    return _make(ca_file)


def _make(ca_file: str | None) -> ssl.SSLContext:
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    made.minimum_version = ssl.TLSVersion.TLSv1_2
    if ca_file is not None:
        # An intermediate certificate in ca_file is a trust anchor too.
        made.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
        try:
            made.load_verify_locations(cafile=ca_file)
        except (OSError, ValueError):
            raise ProbeFailed("self.ca_file", f"{clean(ca_file)} cannot be read, or has no PEM certificate") from None
        return made
    paths = ssl.get_default_verify_paths()
    chosen = os.environ.get(paths.openssl_cafile_env) or os.environ.get(paths.openssl_capath_env)
    if not chosen and _is_hashed(_CAPATH):
        made.load_verify_locations(capath=_CAPATH)  # 0.3 ms; the one big file takes 25
        return made
    made.set_default_verify_paths()
    if not made.cert_store_stats()["x509_ca"] and not (paths.capath and _is_hashed(paths.capath)):
        raise ProbeFailed("self.no_authorities")
    return made


def _is_hashed(folder: str) -> bool:
    with suppress(OSError), os.scandir(folder) as entries:
        return any(_HASHED.fullmatch(entry.name) for entry in entries)
    return False


def _show_certificate(made: ssl.SSLContext, certificate: ClientCertificate) -> None:
    """Load a client certificate. OpenSSL reads keys from files only: this file holds the key encrypted."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization

    try:
        key = serialization.load_pem_private_key(certificate.private_key.reveal().encode(), None)
    except (ValueError, TypeError, UnsupportedAlgorithm):
        raise ProbeFailed("tls.client_certificate", "the private key is not PEM, or has a passphrase") from None
    passphrase = token_urlsafe(32).encode()
    sealed = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.BestAvailableEncryption(passphrase)
    )
    try:
        with tempfile.TemporaryDirectory(prefix="intctl-") as folder:  # 0700
            path = Path(folder, "client.pem")
            path.touch(mode=0o600, exist_ok=False)
            path.write_bytes(certificate.certificate.encode() + b"\n" + sealed)
            made.load_cert_chain(path, password=passphrase)
    except ssl.SSLError as error:
        mismatch = error.reason == "KEY_VALUES_MISMATCH"
        why = "certificate and key do not match" if mismatch else "the certificate is not PEM"
        raise ProbeFailed("tls.client_certificate", why) from None


def fault(error: OSError) -> ProbeFailed:
    """Return the failure for an error of a handshake or of a TLS connection."""
    if isinstance(error, ssl.SSLCertVerificationError):
        if error.verify_code == _NO_ISSUER and descriptors_gone():  # the handshake reads the authorities' folder
            return ProbeFailed("self.no_descriptors")
        code, why = _VERIFY.get(error.verify_code, ("tls.untrusted", f"OpenSSL's reason {error.verify_code}"))
        return ProbeFailed(code, why)
    if isinstance(error, ssl.SSLEOFError | ssl.SSLZeroReturnError):
        return ProbeFailed("connection.closed")
    if isinstance(error, ssl.SSLError):
        reason = error.reason or ""
        if reason in _NOT_TLS:
            return ProbeFailed("tls.not_spoken")
        if reason in _TOO_OLD:
            return ProbeFailed("tls.too_old")
        if reason in _WEAK:
            return ProbeFailed("tls.weak", _WEAK[reason])
        if reason in _CLIENT_CERTIFICATE:
            return ProbeFailed("tls.client_certificate")
        return ProbeFailed("tls.handshake_failed", reason.lower().replace("_", " "))
    return lost(error)


def lost(error: BaseException | None) -> ProbeFailed:
    """Return the failure for a lost connection, by asyncio's error."""
    if isinstance(error, ssl.SSLError):
        return fault(error)
    # asyncio raises a reset without errno if the server closes the connection during a handshake.
    if isinstance(error, ConnectionResetError | BrokenPipeError) and error.errno:
        return ProbeFailed("connection.reset")
    if isinstance(error, TimeoutError):
        return ProbeFailed("reply.timeout")
    return ProbeFailed("connection.closed")


# Facts of a certificate.


def note(secured: ssl.SSLObject, trace: Trace) -> None:
    """Record protocol, expiry, issuer and names of a verified certificate, and the first end in its chain.

    `certificate_not_after` is that end; `certificate_ends_first` is the subject of the certificate if it is another's.
    """
    trace.facts["tls_version"] = secured.version()
    seen = [found for der in _chain(secured, "get_verified_chain") if (found := _read(der))]
    if not seen:
        return
    known = trace.facts.get("certificate_not_after")
    first = min(seen, key=lambda one: str(one["not_after"]))
    if isinstance(known, str) and known <= first["not_after"]:
        return
    _keep(seen[0], trace)
    if first is not seen[0]:
        trace.facts["certificate_not_after"] = first["not_after"]
        trace.facts["certificate_ends_first"] = trace.sanitize(first["subject"])


def note_refused(secured: ssl.SSLObject | None, now: float, trace: Trace, found: ProbeFailed) -> ProbeFailed:
    """Return `found` with the details of the certificate that was refused: the server's, or one of its chain."""
    seen = [read for der in _chain(secured, "get_unverified_chain") if (read := _read(der))] if secured else []
    if not seen:
        return found
    moment = _iso(datetime.fromtimestamp(now, UTC))
    at_fault = {
        "tls.expired": [one for one in seen if one["not_after"] < moment],
        "tls.not_yet_valid": [one for one in seen if one["not_before"] > moment],
        "tls.weak": [one for one in seen if one["weakness"]],
    }
    one = (at_fault.get(found.code) or seen)[0]
    _keep(seen[0], trace)
    trace.facts["certificate_not_after"] = one["not_after"]
    if one is not seen[0]:
        trace.facts["certificate_ends_first"] = trace.sanitize(one["subject"])
    it = "it" if one is seen[0] else f"the certificate {trace.sanitize(one['subject'])} in its chain"
    detail = {
        "tls.expired": f"{it} expired on {one['not_after'][:10]}",
        "tls.not_yet_valid": f"{it} is valid from {one['not_before'][:10]}",
        "tls.wrong_host": f"it is valid for {', '.join(map(trace.sanitize, seen[0]['names'][:3])) or 'no name'}",
        "tls.untrusted": f"{found.detail}; issued by {trace.sanitize(seen[0]['issuer'])}",
        "tls.weak": f"{it} has {one['weakness']}" if one["weakness"] else found.detail,
    }.get(found.code, found.detail)
    return ProbeFailed(found.code, detail)


def _chain(secured: ssl.SSLObject, method: str) -> list[bytes]:
    """The certificates of a connection, the server's first. The methods are public from Python 3.13 on."""
    public = getattr(secured, method, None)
    if public is not None:
        return [bytes(der) for der in public()]
    private = getattr(getattr(secured, "_sslobj", None), method, None)
    if private is None:
        der = secured.getpeercert(binary_form=True)
        return [der] if der else []
    return [one.public_bytes(_DER) for one in private() or ()]


def days_left(trace: Trace, now: float) -> int | None:
    """Return the whole days until the certificate of this exchange expires, if that is soon; else None."""
    until = trace.facts.get("certificate_not_after")
    if not isinstance(until, str):
        return None
    left = datetime.fromisoformat(until).timestamp() - now
    return max(0, int(left // 86400)) if left < EXPIRES_SOON_S else None


def ends(trace: Trace, left: int) -> str:
    """When a certificate of this exchange expires, in words."""
    which = trace.facts.get("certificate_ends_first")
    said = f"in {left} days, on {str(trace.facts['certificate_not_after'])[:10]}"
    return f"{said}: the certificate {which} in its chain" if which else said


def _keep(seen: dict[str, Any], trace: Trace) -> None:
    trace.facts["certificate_not_after"] = seen["not_after"]
    trace.facts["certificate_issuer"] = trace.sanitize(seen["issuer"])
    trace.facts["certificate_names"] = [trace.sanitize(name) for name in seen["names"][:5]]


@lru_cache(maxsize=256)
def _read(der: bytes) -> dict[str, Any] | None:
    """The parts of a certificate that are shown. Cached: most checks see the same certificate as before."""
    from cryptography import x509

    try:
        certificate = x509.load_der_x509_certificate(der)
        seen: dict[str, Any] = {
            "not_before": _iso(certificate.not_valid_before_utc),
            "not_after": _iso(certificate.not_valid_after_utc),
            "issuer": "an unreadable issuer",
            "subject": "an unreadable subject",
            "weakness": _weakness(certificate),
            "names": [],
        }
    except ValueError:
        return None
    # OpenSSL accepts certificates that cryptography cannot parse fully: the dates are kept anyway.
    with suppress(ValueError):
        seen["issuer"] = _organisation(certificate.issuer)
        seen["subject"] = _common_name(certificate.subject)
    with suppress(ValueError, x509.DuplicateExtension, x509.UnsupportedGeneralNameType):
        seen["names"] = _names(certificate)
    return seen


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _weakness(certificate: Certificate) -> str:
    """What is too weak about a certificate, or ""."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    with suppress(ValueError, UnsupportedAlgorithm):
        key = certificate.public_key()
        if isinstance(key, rsa.RSAPublicKey) and key.key_size < 2048:
            return f"an RSA key of {key.key_size} bits"
        if isinstance(key, ec.EllipticCurvePublicKey) and key.curve.key_size < 224:
            return f"an elliptic-curve key of {key.curve.key_size} bits"
    with suppress(ValueError, UnsupportedAlgorithm):
        digest = certificate.signature_hash_algorithm
        if digest is not None and digest.name in ("md5", "sha1") and certificate.issuer != certificate.subject:
            return f"a signature with {digest.name.upper().replace('SHA1', 'SHA-1')}"
    return ""


def _common_name(name: Name) -> str:
    from cryptography.x509.oid import NameOID

    return _first(name, NameOID.COMMON_NAME, NameOID.ORGANIZATION_NAME) or "without a name"


def _organisation(name: Name) -> str:
    from cryptography.x509.oid import NameOID

    return _first(name, NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME) or "an issuer without a name"


def _first(name: Name, *oids: ObjectIdentifier) -> str:
    for oid in oids:
        for attribute in name.get_attributes_for_oid(oid):
            return str(attribute.value)
    return ""


def _names(certificate: Certificate) -> list[str]:
    from cryptography import x509

    try:
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    except x509.ExtensionNotFound:
        return []
    return [
        str(value) for value in (*names.get_values_for_type(x509.DNSName), *names.get_values_for_type(x509.IPAddress))
    ]
