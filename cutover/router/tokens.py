"""
Signing what a visit says into a token, and reading it back: a JSON Web Token (RFC 7519), HS256, with one fixed header.

The header is compared as text and never asked which algorithm to use, so a token cannot choose one. Written here and
not taken from a library because the ones there are need 30 to 40 microseconds for a token, and a request has 25 in all
(`docs/decisions/0006-own-token-reader.md`). Test vectors: `docs/reference/token.md`.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, sha256
from typing import Any, Final

import attrs

from cutover.core.bucketing import key_bytes
from cutover.core.visit import Claims
from cutover.errors import ConfigurationError

__all__ = ["LONGEST_TOKEN", "SHORTEST_SECRET", "Tokens", "secrets_in"]

SHORTEST_SECRET: Final = 32  # bytes; HS256 wants at least its own length (RFC 7518, 3.2)
LONGEST_TOKEN: Final = 8192  # characters; a browser keeps cookies of half of that
BEARER: Final = b"cutover-bearer"
KID: Final = b"cutover-kid"


@attrs.frozen
class Signer:
    """
    One secret with what is derived from it.

    Attributes:
        kid: Names the secret without telling it.
        header: The first part of every token that it signs, with the dot behind.
        bearer_key: The key of the digests that tokens are bound by.
    """

    secret: bytes = attrs.field(repr=False)
    kid: str
    header: str
    bearer_key: bytes = attrs.field(repr=False)


class Tokens:
    """
    Writes and reads tokens; the first secret signs, and all of them verify.

    Args:
        secrets: Of `SHORTEST_SECRET` bytes or more each.
    """

    def __init__(self, secrets: tuple[str, ...]) -> None:
        signers = [_signer(secret.encode(errors="surrogateescape")) for secret in secrets]
        self._first = signers[0]
        self._by_header = {signer.header[:-1]: signer for signer in signers}

    def bearer(self, key: object) -> str:
        """
        Give the digest of a key that a new token is bound by.
        """
        return _bearer(self._first, key)

    def write(self, claims: Claims) -> str:
        """
        Sign claims; their bearer must come from `bearer`.
        """
        payload = json.dumps(claims.document(), separators=(",", ":"))
        signed = self._first.header + _encoded(payload.encode())
        return f"{signed}.{_signature(self._first, signed)}"

    def read(self, token: object, audience: str | None) -> tuple[Claims, Signer] | None:
        """
        Read a token, and the secret that signed it; None for what is no token of this library for this journey.

        Args:
            audience: Who it must be for; None where that is not known.
        """
        if type(token) is not str or len(token) > LONGEST_TOKEN:
            return None
        signed, _, signature = token.rpartition(".")
        header, _, payload = signed.partition(".")
        signer = self._by_header.get(header)
        if signer is None:
            return None
        try:
            if not hmac.compare_digest(_signature(signer, signed), signature):
                return None
            document = json.loads(_decoded(payload))
            if audience is not None and document["aud"] != audience:
                return None
            return Claims.from_document(document), signer
        except Exception:  # noqa: BLE001 - signed with our secret, and yet no token of ours
            return None

    def is_bound(self, claims: Claims, signer: Signer, key: object) -> bool:
        """
        Tell whether a token is bound to a key.
        """
        return claims.bearer == _bearer(signer, key)


def secrets_in(given: str) -> tuple[str, ...]:
    """
    Split what `connect` is given as its secret: one, or several with commas between.

    Raises:
        ConfigurationError: If one of them is too short, or no text that can be encoded.
    """
    try:
        given.encode(errors="surrogateescape")  # an environment variable may hold any bytes
    except UnicodeEncodeError:
        raise ConfigurationError("secret holds a lone surrogate; allowed: text of 32 bytes or more in UTF-8") from None
    secrets = tuple(part.strip() for part in given.split(","))
    if any(len(secret.encode(errors="surrogateescape")) < SHORTEST_SECRET for secret in secrets):
        many = f"one of {len(secrets)} secrets, with commas between them," if len(secrets) > 1 else "secret"
        raise ConfigurationError(f"{many} is too short; allowed: {SHORTEST_SECRET} bytes or more")
    return secrets


def _signer(secret: bytes) -> Signer:
    kid = blake2b(secret, digest_size=6, person=KID).hexdigest()
    header: dict[str, Any] = {"alg": "HS256", "kid": kid, "typ": "JWT"}
    encoded = _encoded(json.dumps(header, separators=(",", ":")).encode())
    return Signer(secret, kid, f"{encoded}.", sha256(secret).digest())


def _bearer(signer: Signer, key: object) -> str:
    data = key_bytes(key) or b""
    return _encoded(blake2b(data, key=signer.bearer_key, digest_size=16, person=BEARER).digest())


def _signature(signer: Signer, signed: str) -> str:
    return _encoded(hmac.digest(signer.secret, signed.encode(), "sha256"))


def _encoded(data: bytes) -> str:
    return urlsafe_b64encode(data).rstrip(b"=").decode()


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text + "=" * (-len(text) % 4))
