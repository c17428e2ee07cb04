"""Errors of the S3 protocol, in the words of Pachyderm's gateway.

Sources: ``error.go`` of github.com/pachyderm/s2, and ``src/server/pfs/s3/error.go``.
"""

from __future__ import annotations

from pdk_stack.common.errors import BodyTooLarge, Code, Refusal, StorageFull, TooSlow

#: HTTP status and message by error code.
STANDARD = {
    "AccessDenied": (403, "Access Denied"),
    "AuthorizationHeaderMalformed": (400, "The authorization header you provided is invalid."),
    "BadDigest": (400, "The Content-MD5 you specified did not match what we received."),
    "BucketAlreadyOwnedByYou": (409, "The bucket you tried to create already exists, and you own it."),
    "BucketNotEmpty": (409, "The bucket you tried to delete is not empty."),
    "EntityTooSmall": (
        400,
        "Your proposed upload is smaller than the minimum allowed object size. Each part must be at least 5 MB in"
        " size, except the last part.",
    ),
    "IllegalVersioningConfigurationException": (
        400,
        "The versioning configuration specified in the request is invalid.",
    ),
    "InternalError": (500, "We encountered an internal error. Please try again."),
    "InvalidAccessKeyId": (403, "The AWS access key ID you provided does not exist in our records."),
    "InvalidArgument": (400, "Invalid Argument"),
    "InvalidBucketName": (400, "The specified bucket is not valid."),
    "InvalidDelimiter": (400, "The delimiter you specified is invalid. It must be '' or '/'."),
    "InvalidDigest": (400, "The Content-MD5 you specified is not valid."),
    "InvalidFilePath": (400, "Invalid file path"),
    "InvalidPart": (
        400,
        "One or more of the specified parts could not be found. The part might not have been uploaded, or the"
        " specified entity tag might not have matched the part's entity tag.",
    ),
    "InvalidPartOrder": (
        400,
        "The list of parts was not in ascending order. Parts list must be specified in order by part number.",
    ),
    "InvalidRequest": (400, "Invalid Request"),
    "MalformedXML": (
        400,
        "The XML you provided was not well-formed or would not validate against S3's published schema.",
    ),
    "MethodNotAllowed": (405, "The specified method is not allowed against this resource."),
    "MissingContentLength": (411, "You must provide the Content-Length HTTP header."),
    "NoSuchBucket": (404, "The specified bucket does not exist."),
    "NoSuchKey": (404, "The specified key does not exist."),
    "NoSuchUpload": (
        404,
        "The specified multipart upload does not exist. The upload ID might be invalid, or the multipart upload might"
        " have been aborted or completed.",
    ),
    "NotImplemented": (501, "This functionality is not implemented."),
    "PreconditionFailed": (412, "At least one of the preconditions you specified did not hold."),
    "RequestTimeTooSkewed": (
        403,
        "The difference between the request time and the server's time is too large.",
    ),
    "RequestTimeout": (
        400,
        "Your socket connection to the server was not read from or written to within the timeout period.",
    ),
    "SignatureDoesNotMatch": (
        403,
        "The request signature we calculated does not match the signature you provided. Check your auth credentials"
        " and signing method.",
    ),
    "WriteToOutputBranch": (400, "You cannot write to an output branch"),
    "XAmzContentSHA256Mismatch": (
        400,
        "The provided 'x-amz-content-sha256' header does not match what was computed.",
    ),
}
FILE_AS_PARENT = "Cannot put to a path that includes an existing, non-directory parent file path"


class S3Error(Refusal):
    """An error response of the S3 protocol.

    Args:
        reason: S3's error code, a key of :data:`STANDARD`.
        message: The message; the code's own by default.
    """

    http_status = 400

    def __init__(self, reason: str, message: str = "") -> None:
        status, words = STANDARD[reason]
        super().__init__(message or words)
        self.http_status = status
        self.reason = reason


def of_refusal(error: Refusal) -> S3Error:
    """Return the error response for what the core or the port refuses.

    The gateway of 2.8 answers whatever it has no code for with 500, which clients repeat. Here the client learns that
    the request is at fault; the words stay Pachyderm's.
    """
    if isinstance(error, S3Error):
        return error
    if isinstance(error, BodyTooLarge):
        return S3Error("InvalidArgument")
    if isinstance(error, TooSlow):
        return S3Error("RequestTimeout")
    if isinstance(error, StorageFull) or error.code is Code.INTERNAL:
        return S3Error("InternalError", error.message)
    if "output branch" in error.message:
        return S3Error("WriteToOutputBranch")
    return S3Error("NoSuchBucket" if error.code is Code.NOT_FOUND else "InvalidRequest", error.message)
