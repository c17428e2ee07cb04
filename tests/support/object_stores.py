"""Object stores for tests: moto's S3 with signatures checked, and the emulator of Google Cloud Storage."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pdk_stack.common.service import free_port

REGION = "us-east-1"
BUCKET = "models"


@dataclass(frozen=True)
class SignedS3:
    """An S3 where one user may use one bucket, and everybody else nothing.

    Attributes:
        endpoint: Its URL.
        access_key: The user's key id.
        secret_key: The user's secret key.
    """

    endpoint: str
    access_key: str
    secret_key: str

    @property
    def options(self) -> dict[str, str]:
        """As :class:`pdk_nb.platforms.storage.S3Store` takes them."""
        return {"endpoint": self.endpoint, "access_key": self.access_key, "secret_key": self.secret_key}


@contextlib.contextmanager
def signed_s3() -> Iterator[SignedS3]:
    """Run moto's server; from the first call of the caller on, every call has to be signed."""
    import boto3
    import requests
    from moto.server import ThreadedMotoServer

    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    address = f"http://{host}:{port}"
    # Its buckets belong to the whole process: another module's objects may be there.
    requests.post(f"{address}/moto-api/reset", timeout=10)
    options: dict[str, Any] = {"endpoint_url": address, "region_name": REGION}
    root = {"aws_access_key_id": "root", "aws_secret_access_key": "root"}
    boto3.client("s3", **options, **root).create_bucket(Bucket=BUCKET)
    iam = boto3.client("iam", **options, **root)
    iam.create_user(UserName="lab")
    rights = {"Effect": "Allow", "Action": "s3:*", "Resource": [f"arn:aws:s3:::{BUCKET}", f"arn:aws:s3:::{BUCKET}/*"]}
    policy = json.dumps({"Version": "2012-10-17", "Statement": [rights]})
    iam.put_user_policy(UserName="lab", PolicyName="models", PolicyDocument=policy)
    key = iam.create_access_key(UserName="lab")["AccessKey"]
    requests.post(f"{address}/moto-api/reset-auth", data="0", timeout=10)
    try:
        yield SignedS3(address, key["AccessKeyId"], key["SecretAccessKey"])
    finally:
        # The switch is one for the whole process.
        requests.post(f"{address}/moto-api/reset-auth", data="inf", timeout=10)
        server.stop()


@contextlib.contextmanager
def google_storage() -> Iterator[str]:
    """Run the emulator with an empty bucket; yields what ``STORAGE_EMULATOR_HOST`` has to be."""
    from gcp_storage_emulator.server import create_server

    port = free_port()
    server = create_server("127.0.0.1", port, in_memory=True, default_bucket=BUCKET)
    server.start()
    try:
        yield f"http://127.0.0.1:{port}"
    finally:
        server.stop()
