"""Verifies AWS signatures of version 4 and 2 in headers, as the server computes them.

Sources: ``s2.go`` (``authV4``, ``authV2``) and ``util_header.go`` of github.com/pachyderm/s2, and ``auth.go`` in
``src/server/pfs/s3``. The server builds the canonical request from the *decoded* path and knows no presigned URLs; a
signer such as botocore's differs in both, so the few lines are written out here.
"""

from __future__ import annotations

import base64
import functools
import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from email.utils import parsedate_to_datetime
from typing import NamedTuple
from urllib.parse import parse_qsl, quote, unquote

from pdk_stack.pachyderm.api.s3.errors import S3Error

MAX_SKEW = timedelta(minutes=15)
AMAZON_TIME = "%Y%m%dT%H%M%SZ"
_V4 = re.compile(
    r"AWS4-HMAC-SHA256 Credential=(?P<key>[^/]*)/(?P<date>[^/]*)/(?P<region>[^/]*)/s3/aws4_request, ?"
    r"SignedHeaders=(?P<headers>[^,]+), ?Signature=(?P<signature>.+)"
)
_V2 = re.compile(r"AWS (?P<key>[^:]*):(?P<signature>.*)")
# RFC 1123, with the name of a zone or its distance from UTC.
_HTTP_TIME = re.compile(r"[A-Z][a-z]{2}, \d{2} [A-Z][a-z]{2} \d{4} \d{2}:\d{2}:\d{2} (?P<zone>[A-Z]{3,4}|[+-]\d{4})")
# The parameters that a signature of version 2 covers, in this order.
_V2_PARAMETERS = (
    "acl", "lifecycle", "location", "logging", "notification", "partNumber", "policy", "requestPayment", "torrent",
    "uploadId", "uploads", "versionId", "versioning", "versions",
)  # fmt: skip


@dataclass(frozen=True)
class Signed:
    """What a verified signature of version 4 says; the signatures of a body's chunks continue it.

    Attributes:
        signing_key: The key derived from the secret.
        signature: The request's signature.
        timestamp: The request's time, as it is signed.
        scope: Date, region and service.
    """

    signing_key: bytes
    signature: str
    timestamp: str
    scope: str


def verify(
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    accepts: Callable[[str], bool] | None,
    now: datetime | None = None,
) -> Signed | None:
    """Refuse a request that isn't signed with one string as both access key and secret key.

    Args:
        method: HTTP method.
        raw_path: The path as sent.
        raw_query: The query string as sent.
        headers: Headers by lowercase name.
        accepts: Whether a string is a token; None while authentication is off: then any key will do, and none.
        now: The current time; None reads the clock.

    Returns:
        The signature of version 4; None for any other request that may pass.

    Raises:
        S3Error: The signature is missing, wrong, or expired.
    """
    header, sent = headers.get("authorization", ""), _Sent(method, raw_path, raw_query, headers)
    if header.startswith("AWS4-HMAC-SHA256 "):
        return _verify_v4(sent, _fields(_V4, header, "AuthorizationHeaderMalformed", accepts), now)
    if header.startswith("AWS "):
        _verify_v2(sent, _fields(_V2, header, "InvalidArgument", accepts), now)
    elif accepts is not None:
        raise S3Error("AccessDenied")
    return None


class _Sent(NamedTuple):
    """What a signature covers, as it was sent."""

    method: str
    raw_path: str
    raw_query: str
    headers: Mapping[str, str]


def _fields(
    pattern: re.Pattern[str], header: str, malformed: str, accepts: Callable[[str], bool] | None
) -> re.Match[str]:
    """The parts of an Authorization header, with a key that is accepted."""
    found = pattern.fullmatch(header)
    if found is None:
        raise S3Error(malformed)
    if accepts is not None and not accepts(found["key"]):
        raise S3Error("InvalidAccessKeyId")
    return found


def _verify_v4(sent: _Sent, found: re.Match[str], now: datetime | None) -> Signed:
    names = sorted(found["headers"].split(";"))
    canonical = [
        sent.method,
        quote(unquote(sent.raw_path), safe="/-_.~"),
        _canonical_query(sent.raw_query),
        "".join(f"{name}:{sent.headers.get(name, '').strip()}\n" for name in names),
        ";".join(names),
        sent.headers.get("x-amz-content-sha256", ""),
    ]
    moment, _ = _time(sent.headers, now)
    timestamp = moment.strftime(AMAZON_TIME)
    scope = f"{found['date']}/{found['region']}/s3/aws4_request"
    digest = hashlib.sha256("\n".join(canonical).encode("utf-8", "surrogateescape")).hexdigest()
    key = _signing_key(found["key"], found["date"], found["region"])
    expected = _hmac(key, f"AWS4-HMAC-SHA256\n{timestamp}\n{scope}\n{digest}").hex()
    if not hmac.compare_digest(expected.encode(), found["signature"].encode("utf-8", "surrogateescape")):
        raise S3Error("SignatureDoesNotMatch")
    return Signed(key, expected, timestamp, scope)


def _verify_v2(sent: _Sent, found: re.Match[str], now: datetime | None) -> None:
    _, date = _time(sent.headers, now)
    query = dict(reversed(parse_qsl(sent.raw_query, keep_blank_values=True)))
    named = [f"{name}={query[name]}" if query[name] else name for name in _V2_PARAMETERS if name in query]
    # The server means to sign the x-amz- headers as well, but looks for their names in lower case, where Go has none.
    text = "\n".join(
        [
            sent.method,
            sent.headers.get("content-md5", ""),
            sent.headers.get("content-type", ""),
            date,
            unquote(sent.raw_path) + (f"?{'&'.join(named)}" if named else ""),
        ]
    )
    digest = hmac.digest(found["key"].encode(), text.encode("utf-8", "surrogateescape"), "sha1")
    if not hmac.compare_digest(base64.b64encode(digest), found["signature"].encode("utf-8", "surrogateescape")):
        raise S3Error("AccessDenied")


def _canonical_query(raw: str) -> str:
    """Encode the parameters, sorted by name; those of one name stay in their order."""
    pairs = sorted(parse_qsl(raw, keep_blank_values=True), key=lambda pair: pair[0].encode("utf-8", "surrogateescape"))
    return "&".join(f"{quote(name, safe='-_.~')}={quote(value, safe='-_.~')}" for name, value in pairs)


def _time(headers: Mapping[str, str], now: datetime | None) -> tuple[datetime, str]:
    """Return the request's time, and its text as a signature of version 2 covers it."""
    text = headers.get("x-amz-date", "") or headers.get("date", "")
    zoned = _HTTP_TIME.fullmatch(text)
    try:
        if zoned is None:
            moment = datetime.strptime(text, AMAZON_TIME).replace(tzinfo=timezone.utc)
            text = moment.strftime("%a, %d %b %Y %H:%M:%S UTC")
        else:
            moment = parsedate_to_datetime(text)
            moment = moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)
            text = text[: zoned.start("zone")] + ("UTC" if zoned["zone"] in ("+0000", "-0000") else zoned["zone"])
    except ValueError as error:
        raise S3Error("AccessDenied") from error
    if moment.timestamp() <= 0:
        raise S3Error("AccessDenied")
    current = now or datetime.now(timezone.utc)
    if not current - MAX_SKEW < moment <= current + MAX_SKEW:
        raise S3Error("RequestTimeTooSkewed")
    return moment, text


def _hmac(key: bytes, text: str) -> bytes:
    return hmac.digest(key, text.encode(), "sha256")


# A client signs all its requests of a day with one key.
@functools.lru_cache(maxsize=64)
def _signing_key(secret: str, date: str, region: str) -> bytes:
    key = f"AWS4{secret}".encode()
    for part in (date, region, "s3", "aws4_request"):
        key = _hmac(key, part)
    return key


def chunk_signature(signed: Signed, previous: str, digest: str) -> str:
    """Return the signature of one chunk of a body.

    Args:
        signed: The request's own signature.
        previous: The signature of the chunk before, or the request's.
        digest: SHA-256 of the chunk's data, in hex.
    """
    nothing = hashlib.sha256().hexdigest()
    head = f"AWS4-HMAC-SHA256-PAYLOAD\n{signed.timestamp}\n{signed.scope}\n{previous}\n{nothing}\n{digest}"
    return _hmac(signed.signing_key, head).hex()
