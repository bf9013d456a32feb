"""
Tokens: what was written is read, and nothing else; the published format, against another library and in vectors.
"""

import hmac
import json
from base64 import urlsafe_b64decode, urlsafe_b64encode
from hashlib import blake2b, sha256
from pathlib import Path
from uuid import UUID

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from strategies import KEYS, Liar, Rude, altered, any_texts, claims, hostile_keys, json_values, short

from cutover.core.backend import Backend
from cutover.core.bucketing import key_bytes
from cutover.core.defined import Journey
from cutover.core.migration import MOST_NAMED
from cutover.core.visit import Claims
from cutover.errors import ConfigurationError
from cutover.integrations import Cookie
from cutover.router.tokens import LONGEST_TOKEN, SHORTEST_SECRET, Tokens, secrets_in

VECTORS = json.loads((Path(__file__).parent / "token_vectors.json").read_text())
PAGE = (Path(__file__).parents[3] / "docs" / "reference" / "token.md").read_text()
FIRST, SECOND = (one["secret"] for one in VECTORS["secrets"])
TOKENS = Tokens((FIRST,))
SAID = Claims("shop/purchase", TOKENS.bearer("user-42"), {"pay": Backend.NEW}, (1, 5), None, 1000, 1000, 15_400, 1800)
TOKEN = TOKENS.write(SAID)
HEADER, PAYLOAD, SIGNATURE = TOKEN.split(".")


def b64(data: bytes) -> str:
    """
    Encode as RFC 7515 does, written from it and nothing else.
    """
    return urlsafe_b64encode(data).decode().rstrip("=")


def signed(payload: bytes, secret: str = FIRST, header: str = HEADER) -> str:
    """
    Sign any payload as RFC 7515 does with HS256.
    """
    message = f"{header}.{b64(payload)}"
    return f"{message}.{b64(hmac.new(secret.encode(), message.encode(), 'sha256').digest())}"


def header_of(**fields: object) -> str:
    """
    Give the header of a token, with other fields.
    """
    whole = json.loads(urlsafe_b64decode(HEADER + "=" * (-len(HEADER) % 4))) | fields
    return b64(json.dumps(whole, separators=(",", ":")).encode())


@given(claims, st.sampled_from([(FIRST,), (FIRST, SECOND), (SECOND, FIRST), (FIRST, FIRST)]))
def test_round_trip(said, secrets):
    """
    What is written is read, by the first secret, for its audience and where that is not known.
    """
    tokens = Tokens(secrets)
    token = tokens.write(said)
    for audience in (said.audience, None):
        found, signer = tokens.read(token, audience)

        assert found == said
        assert signer.secret == secrets[0].encode()


@given(hostile_keys, hostile_keys)
def test_bound_to_a_key(key, other):
    """
    A token is bound to the key that it was written for, and to another only if that is the same bytes.
    """
    _, signer = TOKENS.read(TOKEN, None)
    said = SAID._replace(bearer=TOKENS.bearer(key))

    assert TOKENS.is_bound(said, signer, key)
    assert TOKENS.is_bound(said, signer, other) is (key_bytes(key) == key_bytes(other))


def test_the_key_does_not_stand_in_it():
    """
    A token tells nobody the key that it is bound to, nor the secret.
    """
    parts = [urlsafe_b64decode(part + "=" * (-len(part) % 4)) for part in TOKEN.split(".")]

    assert not any(b"user-42" in part or FIRST.encode() in part for part in (TOKEN.encode(), *parts))


def test_the_secret_is_not_shown():
    """
    Neither tokens nor the signer of one show their secret where they are printed.
    """
    _, signer = TOKENS.read(TOKEN, None)

    assert FIRST not in repr(TOKENS) + repr(signer)
    assert repr(sha256(FIRST.encode()).digest()) not in repr(signer)


def test_every_character_counts():
    """
    A token with any one character replaced, left out or doubled is none.
    """
    for place, character in enumerate(TOKEN):
        for other in {"A", "B", "-", "_", ".", "=", "\u00fc", "\ud800", chr(ord(character) ^ 1)} - {character}:
            assert TOKENS.read(TOKEN[:place] + other + TOKEN[place + 1 :], None) is None
        assert TOKENS.read(TOKEN[:place], None) is None
        assert TOKENS.read(TOKEN[:place] + TOKEN[place + 1 :], None) is None
        assert TOKENS.read(TOKEN[:place] + character + TOKEN[place:], None) is None


def test_every_bit_counts():
    """
    A token with any one bit flipped, of its text or of what the text stands for, is none.
    """
    flipped = [bytes([*data[:at], data[at] ^ 1 << bit, *data[at + 1 :]]) for data, at, bit in _bits(TOKEN.encode())]
    found = [one.decode("latin-1") for one in flipped]
    for part in (HEADER, PAYLOAD, SIGNATURE):
        data = urlsafe_b64decode(part + "=" * (-len(part) % 4))
        for whole, at, bit in _bits(data):
            changed = b64(bytes([*whole[:at], whole[at] ^ 1 << bit, *whole[at + 1 :]]))
            found.append(TOKEN.replace(part, changed))

    assert len(found) > 3000
    assert [token for token in found if TOKENS.read(token, None) is not None] == []


def _bits(data: bytes):
    return ((data, at, bit) for at in range(len(data)) for bit in range(8))


@pytest.mark.parametrize("more", [".", "=", "A", " ", "\n", "\0", ".e30", ";"])
def test_extended(more):
    """
    A token with something before or behind it is none.
    """
    assert TOKENS.read(TOKEN + more, None) is None
    assert TOKENS.read(more + TOKEN, None) is None


@given(
    st.one_of(
        hostile_keys,
        any_texts,
        st.lists(any_texts, min_size=2, max_size=4).map(".".join),
        st.lists(st.sampled_from((HEADER, PAYLOAD, SIGNATURE, "", "e30")), max_size=5).map(".".join),
        st.builds("{}.{}.{}".format, st.just(HEADER), any_texts, any_texts),
    ).filter(lambda token: type(token) is not str or token != TOKEN)
)
def test_anything_else(token):
    """
    Whatever else is brought is no token, and raises nothing.
    """
    assert TOKENS.read(token, None) is None


@pytest.mark.parametrize(
    "token",
    [
        "x" * 1_000_000,
        "." * 1_000_000,
        f"{HEADER}.{'A' * 1_000_000}.{SIGNATURE}",
        TOKEN + "=" * LONGEST_TOKEN,
        TOKEN.encode(),
        Liar(TOKEN),
        Rude(),
        "\ud800" * 100,
        f"{HEADER}.\ud800.{SIGNATURE}",
    ],
    ids=short,
)
def test_large_and_odd(token):
    """
    Nor is what is too long, of another type, or no text that can be encoded.
    """
    assert TOKENS.read(token, None) is None


@pytest.mark.parametrize(("blanks", "read"), [(5000, True), (6500, False)])
def test_too_long(blanks, read):
    """
    A token that is longer than any cookie is refused, though it is signed.
    """
    token = signed(json.dumps(SAID.document()).encode() + b" " * blanks)

    assert (len(token) <= LONGEST_TOKEN) is read
    assert (TOKENS.read(token, None) is not None) is read


@pytest.mark.parametrize(
    "header",
    [
        header_of(alg="none"),
        header_of(alg="None"),
        header_of(alg="HS512"),
        header_of(alg="RS256"),
        header_of(alg="ES256"),
        header_of(typ="JWE"),
        header_of(kid="0" * 12),
        header_of(kid=["x"]),
        header_of(crit=["exp"]),
        header_of(b64=False),
        header_of(jwk={"kty": "oct", "k": b64(FIRST.encode())}),
        b64(b'{"kid":"x","alg":"HS256"}'),
        b64(b'{"typ":"JWT","alg":"HS256"}'),
        "",
        "e30",
        HEADER + "=",
    ],
)
def test_another_header(header):
    """
    A token cannot choose its algorithm, its key or its type: any other header is refused, signed rightly or not at all.
    """
    payload = urlsafe_b64decode(PAYLOAD + "=" * (-len(PAYLOAD) % 4))

    assert TOKENS.read(signed(payload, header=header), None) is None
    assert TOKENS.read(f"{header}.{PAYLOAD}.", None) is None
    assert TOKENS.read(f"{header}.{PAYLOAD}", None) is None


@given(
    st.one_of(
        st.binary(max_size=200),
        json_values.map(lambda value: json.dumps(value).encode()),
        st.just(SAID.document()).flatmap(altered).map(lambda value: json.dumps(value).encode()),
    )
)
@example(b"[" * 4000)
@example(b'{"idle":' + b"9" * 4000 + b"}")
@example(b'{"exp":NaN}')
@example(b'{"aud":"shop/purchase","aud":"other"}')
@example(b"")
@example(b"\xff\xfe{}")
def test_signed_with_our_secret(payload):
    """
    What our secret has signed and is no token raises nothing; what is read can be written and read again.
    """
    read = TOKENS.read(signed(payload), None)
    if read is not None:
        assert TOKENS.read(TOKENS.write(read[0]), read[0].audience)[0] == read[0]


@pytest.mark.parametrize("audience", ["shop/look", "other/purchase", "shop", "", "SHOP/purchase", "shop/purchase "])
def test_for_somebody_else(audience):
    """
    A token for another migration or journey is refused.
    """
    assert TOKENS.read(TOKEN, "shop/purchase") is not None
    assert TOKENS.read(TOKEN, audience) is None


def test_another_secret():
    """
    A token that another secret has signed is refused, also under the name of ours.
    """
    payload = urlsafe_b64decode(PAYLOAD + "=" * (-len(PAYLOAD) % 4))

    assert Tokens((SECOND,)).read(TOKEN, None) is None
    assert TOKENS.read(signed(payload, SECOND), None) is None


@given(claims, st.sampled_from(KEYS))
def test_another_library_reads_it(said, key):
    """
    PyJWT verifies a token and reads the same claims, with the secret and the audience alone.
    """
    said = said._replace(bearer=TOKENS.bearer(key))
    token = TOKENS.write(said)
    # Claims of any time are read: whether a token is over is not what is compared.
    read = jwt.decode(
        token, FIRST, algorithms=["HS256"], audience=said.audience, options={"verify_exp": False, "verify_iat": False}
    )

    assert read == said.document()
    assert jwt.get_unverified_header(token) == {"alg": "HS256", "kid": VECTORS["secrets"][0]["kid"], "typ": "JWT"}


def test_another_library_writes_it():
    """
    What PyJWT signs under our header is a token; the order of members and white space in the payload are free.
    """
    kid = VECTORS["secrets"][0]["kid"]
    token = jwt.encode(dict(reversed(SAID.document().items())), FIRST, "HS256", {"kid": kid})

    assert TOKENS.read(token, "shop/purchase")[0] == SAID
    assert TOKENS.read(signed(json.dumps(SAID.document(), indent=2).encode()), "shop/purchase")[0] == SAID


def key_of(vector: dict[str, str]) -> object:
    """
    Give the key of a published vector as a Python object.
    """
    readers = {"text": json.loads, "integer": int, "bytes": bytes.fromhex, "uuid": UUID}
    return readers[vector["kind"]](vector["key"])


def bearer_of(secret: str, data: bytes) -> str:
    """
    Derive `sub`, written from the page and nothing else.
    """
    key = sha256(secret.encode()).digest()
    return b64(blake2b(data, digest_size=16, key=key, person=b"cutover-bearer").digest())


@pytest.mark.parametrize("vector", VECTORS["secrets"], ids=lambda vector: vector["kid"])
def test_vectors_of_headers(vector):
    """
    Each published `kid` and header holds in the library and in the second implementation.
    """
    kid = blake2b(vector["secret"].encode(), digest_size=6, person=b"cutover-kid").hexdigest()
    header = Tokens((vector["secret"],)).write(SAID).partition(".")[0]

    assert vector["kid"] == kid
    assert json.loads(vector["header"])["kid"] == kid
    assert header == b64(vector["header"].encode())


@pytest.mark.parametrize("vector", VECTORS["bearers"], ids=lambda vector: short((vector["secret"], vector["key"])))
def test_vectors_of_keys(vector):
    """
    Each published `sub` holds in the library and in the second implementation.
    """
    data = key_bytes(key_of(vector)) or b""

    assert vector["sub"] == bearer_of(vector["secret"], data) == Tokens((vector["secret"],)).bearer(key_of(vector))


@pytest.mark.parametrize("vector", VECTORS["tokens"], ids=lambda vector: vector["name"])
def test_vectors_of_tokens(vector):
    """
    Each published token is what the library writes and reads, and what another library verifies.
    """
    secret, document, token = vector["secret"], vector["claims"], vector["token"]
    tokens = Tokens((secret,))
    said, signer = tokens.read(token, document["aud"])

    assert tokens.write(Claims.from_document(document)) == token
    assert said.document() == document
    assert tokens.is_bound(said, signer, vector["key"])
    assert jwt.decode(token, secret, ["HS256"], {"verify_exp": False}, audience=document["aud"]) == document
    assert token == signed(json.dumps(document, separators=(",", ":")).encode(), secret, token.partition(".")[0])


@pytest.mark.parametrize("step", VECTORS["rotation"], ids=lambda step: f"{step['honours']} {step['signs']}")
def test_vectors_of_rotation(step):
    """
    In each published step of a rotation the first secret signs, and exactly those that are listed are honoured.
    """
    tokens = Tokens(secrets_in(step["given"]))
    written = tokens.write(SAID)
    honoured = [vector for vector in VECTORS["tokens"] if tokens.read(vector["token"], None)]

    assert jwt.get_unverified_header(written)["kid"] == step["signs"]
    assert {jwt.get_unverified_header(vector["token"])["kid"] for vector in honoured} == set(step["honours"])
    for vector in honoured:
        assert tokens.is_bound(*tokens.read(vector["token"], None), vector["key"])


def test_page():
    """
    The page of the documentation has every published vector.
    """
    rows = [f"| `{v['secret']}` | `{v['kid']}` | `{v['header']}` |" for v in VECTORS["secrets"]]
    rows += [f"| `{v['secret']}` | {v['kind']} | `{v['key']}` | `{v['sub']}` |" for v in VECTORS["bearers"]]
    rows += [f"{json.dumps(v['claims'], separators=(',', ':'))}\n{v['token']}\n" for v in VECTORS["tokens"]]
    rows += [
        f"| `{v['given']}` | `{v['signs']}` | {', '.join(f'`{kid}`' for kid in v['honours'])} |"
        for v in VECTORS["rotation"]
    ]

    assert [row for row in rows if row not in PAGE] == []


def test_small_enough_for_a_cookie():
    """
    A token of an ordinary journey has some 400 characters, and one of 30 flows fits into a cookie.
    """
    wide = SAID._replace(sides={f"flow-number-{number}": list(Backend)[number % 2] for number in range(30)})

    assert max(len(vector["token"]) for vector in VECTORS["tokens"]) < 450
    assert len(TOKENS.write(wide)) < 2000


@pytest.mark.parametrize(
    ("given_", "secrets"),
    [
        ("s" * 32, ("s" * 32,)),
        ("s" * 32 + "," + "t" * 32, ("s" * 32, "t" * 32)),
        (" " + "s" * 32 + " ,\n" + "t" * 32 + "\n", ("s" * 32, "t" * 32)),
        ("\u00fc" * 16, ("\u00fc" * 16,)),
    ],
)
def test_secrets(given_, secrets):
    """
    Several secrets have commas between, white space around one is dropped, and its length counts in bytes.
    """
    assert secrets_in(given_) == secrets


@pytest.mark.parametrize(
    ("given_", "message"),
    [
        ("s" * 31, f"^secret is too short; allowed: {SHORTEST_SECRET} bytes or more$"),
        (" " * 40, "^secret is too short"),
        ("s" * 32 + ",", "^one of 2 secrets, with commas between them, is too short"),
        ("s" * 16 + "," + "s" * 16, "^one of 2 secrets"),
        ("s" * 32 + "\ud800", "^secret holds a lone surrogate; allowed: text of 32 bytes or more"),
    ],
)
def test_wrong_secrets(given_, message):
    """
    A secret that is too short, or no text, is an error that does not show it.
    """
    with pytest.raises(ConfigurationError, match=message) as caught:
        secrets_in(given_)

    assert "sss" not in str(caught.value)


def test_a_secret_from_an_environment_of_other_bytes():
    """
    A secret whose bytes are no UTF-8 signs and verifies all the same.
    """
    (secret,) = secrets_in(bytes(range(200, 240)).decode(errors="surrogateescape"))
    tokens = Tokens((secret,))
    said = SAID._replace(bearer=tokens.bearer("user-42"))

    assert tokens.read(tokens.write(said), None)[0] == said


def test_a_token_fits_into_a_cookie():
    """
    The longest token of the longest names that a definition may have is a cookie that browsers keep.
    """
    long = "n" * 64
    flows = tuple(f"{n:064}" for n in range(MOST_NAMED // 65))
    said = SAID._replace(
        audience=f"{long}/{long}",
        bearer=TOKENS.bearer("user-42"),
        sides=dict.fromkeys(Journey(name=long, flows=flows).flows, Backend.NEW),
        order=(10**6, 10**9),
        cohort=long,
    )
    cookie = Cookie(name=f"__Host-cutover-{long}").write(TOKENS.write(said), 1800, None)[0][1]

    assert len(cookie) <= 4096
