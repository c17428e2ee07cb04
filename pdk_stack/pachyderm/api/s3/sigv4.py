"""Verifies AWS Signature Version 4 in headers and presigned URLs: botocore signs again, and the results must match.

https://docs.aws.amazon.com/AmazonS3/latest/API/sig-v4-authenticating-requests.html
"""

from __future__ import annotations

import hmac
import re
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta, timezone
from urllib.parse import unquote

from botocore.auth import UNSIGNED_PAYLOAD, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.credentials import Credentials

from pdk_stack.pachyderm.api.s3.errors import S3Error

ALGORITHM = "AWS4-HMAC-SHA256"
MAX_SKEW = timedelta(minutes=15)
_CREDENTIAL = re.compile(r"(?P<key>[^/]+)/(?P<date>\d{8})/(?P<region>[^/]*)/(?P<service>[^/]+)/aws4_request")


def verify(
    method: str,
    raw_path: str,
    raw_query: str,
    headers: Mapping[str, str],
    accepts: Callable[[str], bool],
    now: datetime | None = None,
) -> None:
    """Refuse a request that isn't signed with a token as both access key and secret key.

    Args:
        method: HTTP method.
        raw_path: The path as sent.
        raw_query: The query string as sent.
        headers: Headers by lowercase name.
        accepts: Whether a string is a token.
        now: The current time; None reads the clock.

    Raises:
        S3Error: The signature is missing, wrong, or expired.
    """
    pairs = [
        (unquote(name), unquote(value)) for name, _, value in (part.partition("=") for part in raw_query.split("&"))
    ]
    query = dict(pairs)
    presigned = query.get("X-Amz-Algorithm") == ALGORITHM
    if presigned:
        fields = {name.removeprefix("X-Amz-"): value for name, value in query.items()}
        moment, payload = fields.get("Date", ""), UNSIGNED_PAYLOAD
    else:
        header = headers.get("authorization", "")
        if not header.startswith(ALGORITHM):
            raise _denied("Anonymous requests and other signatures than AWS4-HMAC-SHA256 are refused.")
        fields = dict(part.strip().split("=", 1) for part in header[len(ALGORITHM) :].split(",") if "=" in part)
        moment, payload = headers.get("x-amz-date", ""), headers.get("x-amz-content-sha256", UNSIGNED_PAYLOAD)
    credential = _CREDENTIAL.fullmatch(fields.get("Credential", ""))
    if credential is None:
        raise S3Error(400, "AuthorizationHeaderMalformed", "The credential cannot be read.")
    token = credential["key"]
    if not accepts(token):
        message = "The access key must be the Pachyderm token (and so must the secret key)."
        raise S3Error(403, "InvalidAccessKeyId", message)
    _check_time(moment, fields.get("Expires", "") if presigned else "", now)
    signed = [pair for pair in pairs if pair[0] not in ("", "X-Amz-Signature")]
    names = fields.get("SignedHeaders", "").split(";")
    request = AWSRequest(method, f"http://s3{raw_path or '/'}", {name: headers.get(name, "") for name in names})
    request.params, request.context["timestamp"] = signed, moment
    signer = _Signer(Credentials(token, token), credential["service"], credential["region"], payload)
    expected = signer.signature(signer.string_to_sign(request, signer.canonical_request(request)), request)
    if not hmac.compare_digest(expected.encode(), fields.get("Signature", "").encode()):
        message = "The signature does not match: the secret key must be the Pachyderm token."
        raise S3Error(403, "SignatureDoesNotMatch", message)


class _Signer(S3SigV4Auth):
    """Signs a request over exactly the headers that its client declares as signed."""

    def __init__(self, credentials: Credentials, service: str, region: str, payload: str) -> None:
        super().__init__(credentials, service, region)
        self._payload = payload

    def headers_to_sign(self, request: AWSRequest) -> Mapping[str, str]:
        return request.headers

    def payload(self, request: AWSRequest) -> str:
        return self._payload


def _denied(message: str) -> S3Error:
    return S3Error(403, "AccessDenied", message)


def _check_time(moment: str, expires: str, now: datetime | None) -> None:
    try:
        sent = datetime.strptime(moment, "%Y%m%dT%H%M%SZ").replace(tzinfo=timezone.utc)
        lifetime = timedelta(seconds=int(expires)) if expires else MAX_SKEW
    except ValueError as error:
        raise _denied("The request's date cannot be read.") from error
    current = now or datetime.now(timezone.utc)
    if sent > current + MAX_SKEW or current > sent + max(lifetime, timedelta(0)):
        raise S3Error(403, "RequestTimeTooSkewed", "The request's time is too far from the server's.")
