"""The S3 gateway's rules, as tables: routes, signatures, conditions, ranges, content types, copies."""

from __future__ import annotations

import hashlib
import http.client
import re
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from email.utils import format_datetime
from typing import Any
from urllib.parse import urlsplit
from xml.etree import ElementTree

import boto3
import pytest
from botocore.auth import HmacV1Auth, S3SigV4Auth
from botocore.awsrequest import AWSRequest
from botocore.client import Config
from botocore.credentials import Credentials

from pdk_stack.pachyderm.api.s3.content import Content, serve
from pdk_stack.pachyderm.api.s3.content_types import by_content, by_name
from pdk_stack.pachyderm.api.s3.errors import STANDARD, S3Error
from pdk_stack.pachyderm.api.s3.signatures import Signed, _signing_key, chunk_signature, verify
from tests.stack.pachyderm.server import Server

TOKEN = "sesame" * 4
MISSING = "0" * 12 + "4" + "0" * 19
GOOD = "OK"


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Without authentication; ``data`` has files, ``bare.data`` none, ``outside`` is a repo without a branch."""
    server = Server(tmp_path_factory.mktemp("pachd")).start()
    client = server.client()
    for name in ("data", "outside"):
        client.create_repo(name)
    with client.modify_file_client(("data", "master")) as modify:
        for path in ("/a.txt", "/b=c d.txt", "/dir/c.txt", "/dir/sub/d.txt"):
            modify.put_file_from_bytes(path, b"alpha")
    client.create_branch("data", "bare")
    yield server
    server.kill()


def ask(
    server: Server, method: str, target: str, headers: dict[str, str] | None = None, body: bytes | None = None
) -> tuple[int, dict[str, str], bytes]:
    """Send a request with its path as it is written."""
    connection = http.client.HTTPConnection("127.0.0.1", server.ports["s3"], timeout=20)
    connection.request(method, target, body, headers or {})
    answer = connection.getresponse()
    found = answer.status, {name.lower(): value for name, value in answer.getheaders()}, answer.read()
    connection.close()
    return found


def code(body: bytes) -> str:
    found = re.search(rb"<Code>(.*)</Code>", body)
    return found[1].decode() if found else GOOD


@pytest.mark.parametrize(
    ("method", "target", "wanted"),
    [
        ("GET", "/", GOOD),
        ("PUT", "/", "MethodNotAllowed"),
        ("GET", "/data", GOOD),
        ("GET", "/data/", GOOD),
        ("GET", "/master.data.", GOOD),
        ("GET", "/none", "NoSuchBucket"),
        ("GET", "/outside", "NoSuchBucket"),
        ("GET", "/none.data", "NoSuchBucket"),
        ("GET", "/master.data.none", "NoSuchBucket"),
        ("GET", f"/{MISSING}.master.data", "NoSuchBucket"),
        ("GET", "/a.b.c.d", "InvalidBucketName"),
        ("GET", "/a_b!", "InvalidBucketName"),
        ("GET", "/a_b!/key", "InvalidBucketName"),
        ("GET", f"/{'b' * 256}", "InvalidBucketName"),
        ("GET", "/data/a%0Ab", "NoSuchKey"),
        ("GET", "/data?acl", "NotImplemented"),
        ("GET", "/none?acl", "NotImplemented"),
        ("GET", "/data?versions", "NotImplemented"),
        ("GET", "/data?logging=", "NotImplemented"),
        ("PUT", "/data?replication", "NotImplemented"),
        ("GET", "/data?replication", GOOD),
        ("POST", "/data", "NotImplemented"),
        ("PATCH", "/data", "MethodNotAllowed"),
        # A subresource that DELETE doesn't have changes nothing.
        ("DELETE", "/data?acl", "BucketNotEmpty"),
        ("DELETE", "/data?policy", "NotImplemented"),
        ("GET", "/data?location", GOOD),
        ("GET", "/none?location", "NoSuchBucket"),
        ("GET", "/data?versioning", GOOD),
        ("GET", "/data?uploads", GOOD),
        ("GET", "/none?uploads", GOOD),
        ("GET", "/data?uploads&max-uploads=1001", "InvalidArgument"),
        ("GET", "/data?delimiter=x", "InvalidDelimiter"),
        ("GET", "/data?max-keys=5000", GOOD),
        ("GET", "/data?max-keys=5001", "InvalidArgument"),
        ("GET", "/data?max-keys=-1", "InvalidArgument"),
        ("GET", "/data?max-keys=many", "InvalidArgument"),
        ("GET", "/data/a.txt", GOOD),
        ("GET", "/data/a.txt/", GOOD),
        ("GET", "/data/%61.txt", GOOD),
        ("GET", "/data/b=c%20d.txt", GOOD),
        ("GET", "/data/b=c+d.txt", "NoSuchKey"),
        ("GET", "/data/a*", "NoSuchKey"),
        ("GET", "/data/dir", "NoSuchKey"),
        ("GET", "/data/dir/", "NoSuchKey"),
        ("GET", "/bare.data/a.txt", "NoSuchKey"),
        ("GET", "/none/a.txt", "NoSuchBucket"),
        ("GET", "/data/a.txt?retention", "NotImplemented"),
        ("GET", "/data/a.txt?versionId=1", GOOD),
        ("GET", "/data/a.txt?uploadId=none", GOOD),
        ("GET", "/data/a.txt?uploadId=none&max-parts=x", "InvalidArgument"),
        ("GET", "/data/a.txt?uploadId=none&part-number-marker=10001", "InvalidArgument"),
        ("PUT", "/data/a.txt?tagging", "NotImplemented"),
        ("PUT", "/data/x?uploadId=none&partNumber=1", "NoSuchUpload"),
        ("PUT", "/data/x?uploadId=none&partNumber=10001", "InvalidArgument"),
        ("DELETE", "/data/x?uploadId=none", "NoSuchUpload"),
        ("DELETE", "/data/a.txt?versionId=1", "NotImplemented"),
        ("DELETE", "/none/a.txt", "NoSuchBucket"),
        ("POST", "/data/a.txt", "MethodNotAllowed"),
        ("POST", "/data/a.txt?restore", "NotImplemented"),
        ("PATCH", "/data/a.txt", "MethodNotAllowed"),
        ("OPTIONS", "/data/a.txt", "MethodNotAllowed"),
        ("PUT", "/a..b", "InvalidBucketName"),
        ("PUT", "/data.none.none", "NoSuchBucket"),
    ],
)
def test_routes(gateway: Server, method: str, target: str, wanted: str) -> None:
    status, headers, body = ask(gateway, method, target)
    assert (status, code(body)) == (200 if wanted == GOOD else STANDARD[wanted][0], wanted)
    if wanted != GOOD:
        fields = {each.tag: each.text for each in ElementTree.fromstring(body)}
        assert (headers["content-type"], fields["RequestId"]) == ("application/xml", headers["x-amz-request-id"])
        assert fields["Resource"] and "%" not in str(fields["Resource"])


@pytest.mark.parametrize(
    ("target", "place"),
    [
        ("/data//a.txt", "/data/a.txt"),
        ("/data/../up?x=1", "/up?x=1"),
        ("/..", "/"),
        ("/data/.", "/data"),
        ("/data/./dir/", "/data/dir/"),
        ("/data//a%20b%3F", "/data/a%20b%3F"),
    ],
)
def test_paths_that_are_not_clean_are_redirected(gateway: Server, target: str, place: str) -> None:
    status, headers, _ = ask(gateway, "GET", target)
    assert (status, headers["location"]) == (301, place)


@pytest.mark.parametrize(
    ("query", "names"),
    [
        ("", ["a.txt", "b=c d.txt", "dir/c.txt", "dir/sub/d.txt"]),
        ("delimiter=/", ["a.txt", "b=c d.txt", "dir/"]),
        ("delimiter=/&prefix=dir/", ["dir/c.txt", "dir/sub/"]),
        ("delimiter=/&prefix=di", ["dir/"]),
        ("prefix=/", ["a.txt", "b=c d.txt", "dir/c.txt", "dir/sub/d.txt"]),
        ("prefix=/dir/s", ["dir/sub/d.txt"]),
        ("prefix=*", []),
        ("marker=b", ["b=c d.txt", "dir/c.txt", "dir/sub/d.txt"]),
        ("marker=dir/", ["dir/c.txt", "dir/sub/d.txt"]),
        ("marker=dir/&delimiter=/", []),
        ("max-keys=0", []),
        # The second form of the call is answered like the first; names are never encoded.
        ("list-type=2&start-after=b", ["a.txt", "b=c d.txt", "dir/c.txt", "dir/sub/d.txt"]),
        ("encoding-type=url&prefix=b", ["b=c d.txt"]),
    ],
)
def test_lists(gateway: Server, query: str, names: list[str]) -> None:
    space = {"s3": "http://s3.amazonaws.com/doc/2006-03-01/"}
    root = ElementTree.fromstring(ask(gateway, "GET", f"/data?{query}")[2])
    found = [str(each.text) for each in root.findall("s3:Contents/s3:Key", space)]
    found += [str(each.text) for each in root.findall("s3:CommonPrefixes/s3:Prefix", space)]
    assert found == names
    fields = [each.tag.rpartition("}")[2] for each in root]
    assert not {"KeyCount", "NextContinuationToken", "EncodingType"} & set(fields)
    assert root.findtext("s3:IsTruncated", namespaces=space) == "false"


@pytest.mark.parametrize(
    ("source", "wanted"),
    [
        ("/data/a.txt", GOOD),
        ("data/a.txt", GOOD),
        ("/data/dir/c.txt", GOOD),
        ("/data/b%3Dc%20d.txt", GOOD),
        ("/data/a.txt?versionId=1", GOOD),
        # s2 counts the slashes: without one in front, a key of several parts isn't understood.
        ("data/dir/c.txt", "InvalidArgument"),
        ("x", "InvalidArgument"),
        ("/data", "InvalidBucketName"),
        ("/data/", "NoSuchKey"),
        ("//a.txt", "InvalidArgument"),
        ("/data/none", "NoSuchKey"),
        ("/data/dir", "NoSuchKey"),
        ("/none/a", "NoSuchBucket"),
        ("/data/copied", "InvalidRequest"),
    ],
)
def test_sources_of_a_copy(gateway: Server, source: str, wanted: str) -> None:
    status, headers, body = ask(gateway, "PUT", "/data/copied", {"x-amz-copy-source": source})
    assert code(body) == wanted
    if wanted == GOOD:
        assert headers.get("x-amz-copy-source-version-id", "") == ("1" if "versionId" in source else "")
        assert ask(gateway, "GET", "/data/copied")[2] == b"alpha"
        assert ask(gateway, "DELETE", "/data/copied")[0] == 204


@pytest.mark.parametrize(
    ("document", "wanted"),
    [
        (b"<Delete><Object><Key>none</Key></Object></Delete>", "<Deleted><Key>none</Key></Deleted>"),
        (b"<Delete><Quiet>true</Quiet><Object><Key>none</Key></Object></Delete>", ""),
        (b"<Delete></Delete>", ""),
        (
            b"<Delete><Object><Key>k</Key><VersionId>1</VersionId></Object></Delete>",
            "<Error><Key>k</Key><Code>NotImplemented</Code>"
            "<Message>This functionality is not implemented.</Message></Error>",
        ),
        (b"<Delete><Quiet>often</Quiet></Delete>", "MalformedXML"),
        (b"<Other/>", "MalformedXML"),
        (b"nonsense", "MalformedXML"),
        (b"", "MalformedXML"),
        (b"<!DOCTYPE d [<!ENTITY a 'b'>]><Delete/>", "MalformedXML"),
        (b"\xff\xfe<", "MalformedXML"),
    ],
)
def test_documents(gateway: Server, document: bytes, wanted: str) -> None:
    status, _, body = ask(gateway, "POST", "/data?delete", body=document)
    text = body.decode()
    if wanted == "MalformedXML":
        assert (status, code(body)) == (400, wanted)
    else:
        found = re.search("<DeleteResult [^>]*>(.*)</DeleteResult>", text)
        assert status == 200 and found and found[1] == wanted


# -- signatures -----------------------------------------------------------------------------------------------------

NOW = datetime.now(timezone.utc)  # when the tests were collected, which may be many minutes ago


def signed(kind: str, target: str, secret: str = TOKEN, access: str = TOKEN, **headers: str) -> dict[str, str]:
    """The headers of a request that botocore signs."""
    request = AWSRequest("GET", f"http://h{target}", headers={"host": "h", **headers})
    credentials = Credentials(access, secret)
    (S3SigV4Auth(credentials, "s3", "us-east-1") if kind == "v4" else HmacV1Auth(credentials)).add_auth(request)
    return {name.lower(): value for name, value in request.headers.items()}


def outcome(target: str, headers: dict[str, str], accepts: Any = None, now: datetime | None = None) -> str:
    address = urlsplit(f"http://h{target}")
    try:
        verify("GET", address.path, address.query, headers, accepts, now)
    except S3Error as error:
        return error.reason
    return GOOD


@pytest.mark.parametrize("kind", ["v4", "v2"])
@pytest.mark.parametrize("on", [False, True], ids=["open", "token"])
@pytest.mark.parametrize(
    "target", ["/", "/data", "/data/a/b?uploadId=1&partNumber=2", "/data?uploads", "/data?prefix=a%2Fb"]
)
def test_signatures(kind: str, on: bool, target: str) -> None:
    accepts = (lambda key: key == TOKEN) if on else None
    wrong = "SignatureDoesNotMatch" if kind == "v4" else "AccessDenied"
    assert outcome(target, signed(kind, target), accepts) == GOOD
    assert outcome(target, signed(kind, target, secret="other"), accepts) == wrong
    assert outcome(target, signed(kind, target, "x", "x"), accepts) == ("InvalidAccessKeyId" if on else GOOD)
    assert outcome("/data/other", signed(kind, target), accepts) == wrong


@pytest.mark.parametrize(
    ("header", "when_open", "when_on"),
    [
        ("", GOOD, "AccessDenied"),
        ("Bearer x", GOOD, "AccessDenied"),
        ("AWS4-HMAC-SHA256 Credential=x", "AuthorizationHeaderMalformed", "AuthorizationHeaderMalformed"),
        ("AWS x", "InvalidArgument", "InvalidArgument"),
        ("AWS a:b", "AccessDenied", "InvalidAccessKeyId"),
        (f"AWS {TOKEN}:b", "AccessDenied", "AccessDenied"),
    ],
)
def test_odd_authorizations(header: str, when_open: str, when_on: str) -> None:
    headers = {"authorization": header, "date": format_datetime(NOW, usegmt=True)} if header else {}
    assert outcome("/data", headers, now=NOW) == when_open
    assert outcome("/data", headers, lambda key: key == TOKEN, NOW) == when_on


@pytest.mark.parametrize(
    ("kind", "target", "wanted"),
    [
        ("v4", "/data/a%20b%2A", GOOD),
        ("v4", "/data/%61.txt", "SignatureDoesNotMatch"),
        ("v2", "/data/a%20b", "AccessDenied"),
    ],
)
def test_the_server_decodes_paths_before_it_signs(kind: str, target: str, wanted: str) -> None:
    """With version 4 it quotes them anew, in its own way; with version 2 it doesn't."""
    assert outcome(target, signed(kind, target)) == wanted


def test_headers_of_amazon_are_not_covered_by_version_2() -> None:
    """The server looks for them in lower case, where Go has none; so a client that signs some is refused."""
    headers = signed("v2", "/data", **{"x-amz-meta-colour": "red"})
    assert outcome("/data", headers) == "AccessDenied"


@pytest.mark.parametrize(
    ("minutes", "wanted"), [(-16, "RequestTimeTooSkewed"), (-14, GOOD), (14, GOOD), (16, "RequestTimeTooSkewed")]
)
@pytest.mark.parametrize("kind", ["v4", "v2"])
def test_times(kind: str, minutes: int, wanted: str) -> None:
    now = datetime.now(timezone.utc) + timedelta(minutes=minutes)  # botocore signs with the clock
    assert outcome("/data", signed(kind, "/data"), now=now) == wanted


@pytest.mark.parametrize(
    ("date", "wanted"),
    [
        (NOW.strftime("%Y%m%dT%H%M%SZ"), "AccessDenied"),  # read, but the signature is another
        (format_datetime(NOW), "AccessDenied"),
        ("Tue, 27 Mar 2007 19:36:42 +0000", "RequestTimeTooSkewed"),
        ("Tue, 27 Mar 2007 19:36:42 GMT", "RequestTimeTooSkewed"),
        ("20070327T193642Z", "RequestTimeTooSkewed"),
        ("yesterday", "AccessDenied"),
        ("", "AccessDenied"),
    ],
    # Names of tests must not change from process to process.
    ids=["now-iso", "now-rfc1123", "old-offset", "old-gmt", "old-iso", "word", "none"],
)
def test_forms_of_dates(date: str, wanted: str) -> None:
    assert outcome("/data", {"authorization": "AWS a:b", "date": date}, now=NOW) == wanted


def test_chunks_are_signed_as_amazon_shows() -> None:
    """The example of "Signature Calculations for the Authorization Header: Transferring Payload in Multiple Chunks"."""
    key = _signing_key("wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "20130524", "us-east-1")
    seed = "4f232c4386841ef735655705268965c44a0e4690baa4adea153f7db9fa80a0a9"
    request = Signed(key, seed, "20130524T000000Z", "20130524/us-east-1/s3/aws4_request")
    found, previous = [], seed
    for data in (b"a" * 65536, b"a" * 1024, b""):
        previous = chunk_signature(request, previous, hashlib.sha256(data).hexdigest())
        found.append(previous)
    assert found == [
        "ad80c730a21e5b8d04586a2213dd63b9a0e99e0e2307b0ade35a65485a288648",
        "0055627c9e194cb4542bae2aa5492e3c1575bbb81b612b7d234b86a503ef5497",
        "b6c6ea8a5354eaf15b3cb7646744f4275b71ea724fed81ceb9323e279d449df9",
    ]


def test_signed_chunks(gateway: Server) -> None:
    def put(key: str, change: str = "") -> str:
        request = AWSRequest("PUT", f"{gateway.s3}/data/{key}", headers={"host": f"127.0.0.1:{gateway.ports['s3']}"})
        signer = S3SigV4Auth(Credentials("any", "any"), "s3", "us-east-1")
        signer.payload = lambda request: "STREAMING-AWS4-HMAC-SHA256-PAYLOAD"
        signer.add_auth(request)
        headers = dict(request.headers.items())
        moment = headers["X-Amz-Date"]
        scope = f"{moment[:8]}/us-east-1/s3/aws4_request"
        seed = headers["Authorization"].rpartition("=")[2]
        state = Signed(_signing_key("any", moment[:8], "us-east-1"), seed, moment, scope)
        body, previous = b"", seed
        for data in (b"x" * 70000, b"tail", b""):
            previous = chunk_signature(state, previous, hashlib.sha256(data).hexdigest())
            sent = data.replace(b"tail", b"tale") if change == "data" else data
            body += b"%x;chunk-signature=%s\r\n%s\r\n" % (len(data), previous.encode(), sent)
        if change == "end":
            body = body[: body.rindex(b"0;chunk-signature")]
        return code(ask(gateway, "PUT", f"/data/{key}", headers, body)[2])

    assert put("chunks") == GOOD
    assert ask(gateway, "GET", "/data/chunks")[2] == b"x" * 70000 + b"tail"
    assert ask(gateway, "DELETE", "/data/chunks")[0] == 204
    for change in ("data", "end"):
        assert put("broken", change) == "SignatureDoesNotMatch"
    assert ask(gateway, "GET", "/data/broken")[0] == 404


# -- content --------------------------------------------------------------------------------------------------------

TEXT = b"0123456789"
MODIFIED = int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp() * 10**9) + 5
BEFORE, THEN, AFTER = (f"Fri, 02 Jan 2026 03:04:0{second} GMT" for second in (4, 5, 6))


def get(headers: dict[str, str], data: bytes = TEXT, modified: int = MODIFIED, method: str = "GET") -> Any:
    def read(start: int, length: int) -> Iterator[bytes]:
        yield data[start : start + length]

    return serve(method, headers, Content("name", '"tag"', modified, len(data), read, {"x-amz-version-id": "v"}))


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"if-match": '"tag"'}, 200),
        ({"if-match": "tag"}, 200),
        ({"if-match": '"x", "tag"'}, 200),
        ({"if-match": '"x"'}, 412),
        ({"if-match": "*"}, 412),  # the gateway puts it in quotes
        ({"if-match": '"tag"', "if-unmodified-since": BEFORE}, 200),
        ({"if-none-match": '"tag"'}, 304),
        ({"if-none-match": "tag"}, 304),
        ({"if-none-match": '"x",W/"tag"'}, 304),
        ({"if-none-match": '"x"'}, 200),
        ({"if-none-match": '"x"', "if-modified-since": AFTER}, 200),
        ({"if-modified-since": BEFORE}, 200),
        ({"if-modified-since": THEN}, 304),
        ({"if-modified-since": AFTER}, 304),
        ({"if-modified-since": "yesterday"}, 200),
        ({"if-unmodified-since": BEFORE}, 412),
        ({"if-unmodified-since": THEN}, 200),
        ({"if-unmodified-since": "yesterday"}, 200),
        ({"range": "bytes=0-1", "if-range": '"tag"'}, 206),
        ({"range": "bytes=0-1", "if-range": '"x"'}, 200),
        ({"range": "bytes=0-1", "if-range": THEN}, 206),
        ({"range": "bytes=0-1", "if-range": BEFORE}, 200),
    ],
)
def test_conditions(headers: dict[str, str], status: int) -> None:
    found = get(headers)
    assert found.status_code == status
    assert (found.headers["etag"], found.headers["x-amz-version-id"]) == ('"tag"', "v")
    assert ("last-modified" in found.headers) == (status != 304)
    assert ("content-type" in found.headers) == (status in (200, 206))


def test_an_open_commit_has_no_time() -> None:
    for headers in ({}, {"if-modified-since": AFTER}, {"if-unmodified-since": BEFORE}):
        found = get(headers, modified=0)
        assert (found.status_code, "last-modified" in found.headers) == (200, False)


@pytest.mark.parametrize(
    ("asked", "status", "content", "range_header"),
    [
        ("bytes=0-0", 206, b"0", "bytes 0-0/10"),
        ("bytes=1-3", 206, b"123", "bytes 1-3/10"),
        ("bytes=8-", 206, b"89", "bytes 8-9/10"),
        ("bytes=-2", 206, b"89", "bytes 8-9/10"),
        ("bytes=-99", 206, TEXT, "bytes 0-9/10"),
        ("bytes=8-99", 206, b"89", "bytes 8-9/10"),
        ("bytes= 1 - 3 , ", 206, b"123", "bytes 1-3/10"),
        ("bytes=1-3,10-", 206, b"123", "bytes 1-3/10"),
        ("bytes=", 200, TEXT, ""),
        ("bytes=0-9,0-9", 200, TEXT, ""),  # more than the whole
        ("bytes=10-", 416, b"invalid range: failed to overlap\n", "bytes */10"),
        ("bytes=3-1", 416, b"invalid range\n", ""),
        ("bytes=a-b", 416, b"invalid range\n", ""),
        ("bytes=-", 416, b"invalid range\n", ""),
        ("bytes=5", 416, b"invalid range\n", ""),
        ("lines=1-2", 416, b"invalid range\n", ""),
    ],
)
def test_ranges(asked: str, status: int, content: bytes, range_header: str) -> None:
    found = get({"range": asked})
    assert (found.status_code, found.body, found.headers.get("content-range", "")) == (status, content, range_header)
    assert int(found.headers["content-length"]) == len(content)
    if status != 416:
        head = get({"range": asked}, method="HEAD")
        assert (head.status_code, head.body, head.headers["content-length"]) == (status, b"", str(len(content)))


def test_a_range_of_nothing_is_the_whole() -> None:
    assert (get({"range": "bytes=0-"}, b"").status_code, get({"range": "bytes=-1"}, b"").body) == (200, b"")


def test_several_ranges() -> None:
    found = get({"range": "bytes=0-0,2-3"})
    kind, _, boundary = found.headers["content-type"].partition("; boundary=")
    assert (found.status_code, kind) == (206, "multipart/byteranges")
    line = f"--{boundary}".encode()
    assert found.body == b"\r\n".join(
        [
            line,
            b"Content-Range: bytes 0-0/10",
            b"Content-Type: text/plain; charset=utf-8",
            b"",
            b"0",
            line,
            b"Content-Range: bytes 2-3/10",
            b"Content-Type: text/plain; charset=utf-8",
            b"",
            b"23",
            line + b"--",
            b"",
        ]
    )
    assert int(found.headers["content-length"]) == len(found.body)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("a.JPG", "image/jpeg"),
        ("dir/x.css", "text/css; charset=utf-8"),
        ("x.json", "application/json"),
        ("x.txt", ""),  # not in Go's own table: the content decides
        ("x.css/", ""),
        ("css", ""),
    ],
)
def test_content_types_by_name(name: str, kind: str) -> None:
    assert by_name(name) == kind


@pytest.mark.parametrize(
    ("data", "kind"),
    [
        (b"", "text/plain; charset=utf-8"),
        (b"plain\n", "text/plain; charset=utf-8"),
        (b"\x00\x01", "application/octet-stream"),
        (b" \n<!doctype html>", "text/html; charset=utf-8"),
        (b"<bodyguard>", "text/plain; charset=utf-8"),
        (b"<p>", "text/html; charset=utf-8"),
        (b"\t<?xml version='1.0'?>", "text/xml; charset=utf-8"),
        (b"\x89PNG\r\n\x1a\n...", "image/png"),
        (b"\xff\xd8\xff\xe0", "image/jpeg"),
        (b"RIFF1234WEBPVP8 ", "image/webp"),
        (b"RIFF1234WAVEfmt ", "audio/wave"),
        (b"PK\x03\x04rest", "application/zip"),
        (b"\x1f\x8b\x08", "application/x-gzip"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp41isom", "video/mp4"),
        (b"x" * 512 + b"\x00", "text/plain; charset=utf-8"),
    ],
)
def test_content_types_by_content(data: bytes, kind: str) -> None:
    assert by_content(data) == kind
    assert get({}, data).headers["content-type"] == kind


def test_boto3_signs_with_version_2(gateway: Server) -> None:
    s3 = boto3.client(
        "s3",
        endpoint_url=gateway.s3,
        aws_access_key_id="any",
        aws_secret_access_key="any",
        region_name="us-east-1",
        # Without checksums: their headers begin with x-amz-.
        config=Config(
            signature_version="s3", s3={"addressing_style": "path"}, response_checksum_validation="when_required"
        ),
    )
    assert s3.get_object(Bucket="data", Key="a.txt")["Body"].read() == b"alpha"
