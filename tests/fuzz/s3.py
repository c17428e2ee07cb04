"""Requests to Pachyderm's S3 gateway: odd names, parameters, headers and documents."""

from __future__ import annotations

import random
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.fuzz.asking import Asker, Case
from tests.fuzz.values import RAW, SCALARS
from tests.support.processes import ServiceProcess

BUCKETS = ("data", "master.data", "bare.data", "none", "a.b.c.d", "..", "_", "x" * 300, "master.data.default", "f" * 32)
KEYS = ("a.txt", "dir/c.txt", "dir", "dir/", "new", "a.txt/x", "*", "ä", "x" * 2000, "a\nb", "//", "%00", "a b", ".")
PARAMETERS = (
    *(
        "acl",
        "uploads",
        "uploadId",
        "partNumber",
        "versionId",
        "max-keys",
        "max-parts",
        "max-uploads",
        "marker",
        "prefix",
    ),
    *(
        "delimiter",
        "delete",
        "versioning",
        "location",
        "key-marker",
        "upload-id-marker",
        "part-number-marker",
        "tagging",
    ),
    *("X-Amz-Algorithm", "AWSAccessKeyId", "list-type", "encoding-type"),
)
HEADERS = (
    *("Range", "If-Match", "If-None-Match", "If-Modified-Since", "If-Unmodified-Since", "If-Range", "Content-MD5"),
    *("x-amz-copy-source", "x-amz-content-sha256", "Authorization", "x-amz-date", "Date", "content-encoding"),
    *("x-amz-copy-source-if-match", "x-amz-copy-source-if-modified-since", "Content-Type"),
)
TEXTS = (
    *(
        "bytes=0-0",
        "bytes=-1",
        "bytes=9-",
        "bytes=0-0,2-2",
        "bytes=a",
        '"x"',
        "*",
        "W/",
        "Tue, 27 Mar 2007 19:36:42 +0000",
    ),
    *("/data/a.txt", "data/dir/c.txt", "/data", "x", "?", "//[", "STREAMING-AWS4-HMAC-SHA256-PAYLOAD", "aws-chunked"),
    *(
        "AWS a:b",
        "AWS4-HMAC-SHA256 x",
        "AWS4-HMAC-SHA256 Credential=a/b/c/s3/aws4_request, SignedHeaders=host, Signature=d",
    ),
    *("20260101T000000Z", "99999999T999999Z", "Mon, 99 Foo 9999 99:99:99 GMT", "Fri, 01 Jan 0001 00:00:00 GMT"),
)
DOCUMENTS = (
    *(
        b"<Delete><Object><Key>a</Key></Object></Delete>",
        b"<Delete><Object/></Delete>",
        b"<Delete><Quiet>x</Quiet></Delete>",
    ),
    *(b"<CompleteMultipartUpload><Part><PartNumber>1</PartNumber></Part></CompleteMultipartUpload>", b"<a/>"),
    *(b"<CompleteMultipartUpload><Part><PartNumber>x</PartNumber></Part></CompleteMultipartUpload>", b"<a" * 3000),
    *(b"<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>", b"<a>" * 3000),
    b"<?xml version='1.0' encoding='utf-7'?><Delete/>",
)


@contextmanager
def opened(folder: Path) -> Iterator[tuple[Asker, list[ServiceProcess]]]:
    """Start a gateway with a bucket of files."""
    server = ServiceProcess("pachyderm", folder, {"root_token": ""})
    try:
        server.start()
        asker = Asker(server.ready["s3"], {}, server.log)
        for path in ("/data", "/bare.data", "/data/a.txt", "/data/dir/c.txt"):
            asker.ask(Case(f"PUT {path}", "PUT", path, body=b"alpha"))
        yield asker, [server]
    finally:
        server.stop()


def cases(chance: random.Random) -> Iterator[Case]:
    """Yield requests without end."""
    while True:
        path = f"/{chance.choice(BUCKETS)}" + (f"/{chance.choice(KEYS)}" if chance.random() < 0.7 else "")
        method = chance.choice(("GET", "GET", "HEAD", "PUT", "PUT", "POST", "POST", "DELETE", "PATCH"))
        texts = [*map(str, SCALARS), *TEXTS]
        query = {name: chance.choice(texts) for name in PARAMETERS if chance.random() < 0.08}
        headers = {name: _header(chance.choice(texts)) for name in HEADERS if chance.random() < 0.08}
        body = chance.choice((*DOCUMENTS, *RAW)) if method in ("PUT", "POST") else None
        names = "".join(f"?{name}" for name in query if name in ("uploads", "uploadId", "delete", "versioning"))
        place = "object" if path.count("/") > 1 else "bucket"
        yield Case(f"{method} {place}{names}", method, path, query, body, headers)


def _header(text: str) -> str:
    return "".join(each for each in text if " " <= each <= "~")
