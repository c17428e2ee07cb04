"""Checking AWS Signature Version 4, in headers and in presigned URLs.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hashlib
import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import quote, unquote

from pdk_stack.pachyderm.api.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = timedelta(minutes=15)
_CREDENTIAL = re.compile(r"(?P<key>[^/]+)/(?P<scope>(?P<date>\d{8})/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request)")


def _denied(message: str) -> S3Error:
    return S3Error(403, "AccessDenied", message)


def _mac(key: bytes, text: str) -> bytes:
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signing_key(secret: str, date: str, region: str, service: str) -> bytes:
    """The key that signs a day's requests."""
    key = f"AWS4{secret}".encode()
    for part in (date, region, service, "aws4_request"):
        key = _mac(key, part)
    return key


def _pairs(query: str) -> list[tuple[str, str]]:
    found = []
    for part in query.split("&"):
        if part:
            name, _, value = part.partition("=")
            found.append((unquote(name), unquote(value)))
    return found


def canonical_query(pairs: list[tuple[str, str]]) -> str:
    """The query string in the form that is signed."""
    encoded = sorted((quote(name, safe="-_.~"), quote(value, safe="-_.~")) for name, value in pairs)
    return "&".join(f"{name}={value}" for name, value in encoded)


def verify(
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    accepts: Callable[[str], bool],
    now: datetime | None = None,
) -> None:
    """Refuse a request whose signature was not made with a token as access key and as secret key.

    Args:
        method: HTTP method.
        raw_path: The path as it was sent.
        raw_query: The query string as it was sent.
        headers: Headers by lower-case name.
        accepts: Whether a text is a token.
        now: The time; the clock's when None.

    Raises:
        S3Error: There is no signature, or it is not right, or too old.
    """
    pairs = _pairs(raw_query)
    query = dict(pairs)
    presigned = query.get("X-Amz-Algorithm") == ALGORITHM
    if presigned:
        fields = {
            "Credential": query.get("X-Amz-Credential", ""),
            "SignedHeaders": query.get("X-Amz-SignedHeaders", ""),
            "Signature": query.get("X-Amz-Signature", ""),
        }
        moment = query.get("X-Amz-Date", "")
        payload = "UNSIGNED-PAYLOAD"
        pairs = [pair for pair in pairs if pair[0] != "X-Amz-Signature"]
    else:
        header = headers.get("authorization", "")
        if not header.startswith(ALGORITHM):
            raise _denied("Anonymous requests and other signatures than AWS4-HMAC-SHA256 are refused.")
        fields = dict(part.strip().split("=", 1) for part in header[len(ALGORITHM) :].split(",") if "=" in part)
        moment = headers.get("x-amz-date", "")
        payload = headers.get("x-amz-content-sha256", "UNSIGNED-PAYLOAD")
    credential = _CREDENTIAL.fullmatch(fields.get("Credential", ""))
    if credential is None:
        raise S3Error(400, "AuthorizationHeaderMalformed", "The credential cannot be read.")
    token = credential["key"]
    if not accepts(token):
        raise S3Error(
            403,
            "InvalidAccessKeyId",
            "The access key must be the Pachyderm token (and so must the secret key).",
        )
    _check_time(moment, query.get("X-Amz-Expires", "") if presigned else "", now)
    signed = fields.get("SignedHeaders", "").split(";")
    canonical_headers = "".join(f"{name}:{' '.join(headers.get(name, '').split())}\n" for name in signed)
    canonical = "\n".join(
        (method, raw_path or "/", canonical_query(pairs), canonical_headers, ";".join(signed), payload)
    )
    to_sign = "\n".join((ALGORITHM, moment, credential["scope"], hashlib.sha256(canonical.encode()).hexdigest()))
    key = signing_key(token, credential["date"], credential["region"], credential["service"])
    expected = hmac.new(key, to_sign.encode(), hashlib.sha256).hexdigest()
    if not hmac.compare_digest(expected, fields.get("Signature", "")):
        raise S3Error(
            403,
            "SignatureDoesNotMatch",
            "The signature does not match: the secret key must be the Pachyderm token.",
        )


def _check_time(moment: str, expires: str, now: datetime | None) -> None:
    try:
        sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        lifetime = timedelta(seconds=int(expires)) if expires else MAX_SKEW
    except ValueError as error:
        raise _denied("The request's date cannot be read.") from error
    current = now or datetime.now(timezone.utc)
    if sent > current + MAX_SKEW or current > sent + max(lifetime, timedelta(0)):
        raise S3Error(403, "RequestTimeTooSkewed", "The request's time is too far from the server's.")
