"""The model store: a writable bucket, or Pachyderm's S3 gateway and the account that reads it."""

from __future__ import annotations

import socket
from urllib.parse import urlsplit

from pdk_nb.configure import MINIO_FLAGS
from pdk_nb.counting import counted
from pdk_nb.doctor.context import PROBE, TIMEOUT_S, Context
from pdk_nb.doctor.finding import Finding, Findings
from pdk_nb.doctor.probe import Answer
from pdk_nb.platforms import storage
from pdk_nb.platforms.serving.account import PREDICTOR_ACCOUNT, PREDICTOR_SECRET, UNCHECKED_KEY
from pdk_shared.errors import PdkError, ServiceUnreachable

GATEWAY_WHY = "Without a model bucket, KServe reads models from the deploy pipeline's output through this gateway."
NO_CLIENT = "No module named"
ENDPOINT_NOTE = "serving.kserve.io/s3-endpoint"
WITHOUT_CREDENTIALS = ("redential", "NoCredentials", "DefaultCredentialsError")


def examine(context: Context) -> Findings:
    """All findings of this group."""
    if context.settings.kserve_model_bucket_name:
        yield from _bucket(context)
        if context.settings.minio_url:
            yield from _account(context, context.settings.minio_url)
    else:
        yield from _gateway(context)
        yield from _account(context, context.settings.mldm_s3_endpoint)


def _bucket(context: Context) -> Findings:
    known = context.settings
    host, bucket = known.models_host, known.kserve_model_bucket_name
    scheme = "gs" if host == "gcp" else "s3"
    where = f"{scheme}://{bucket}"
    why = "The deploy stage puts each model version there, and KServe reads it."
    fix = f"gsutil ls {where}" if host == "gcp" else f"aws s3 ls {where} --region {known.region or '...'}"
    if known.minio_url:
        fix = f"aws --endpoint-url {known.minio_url} s3 ls {where}; pdk-nb config init --apply {MINIO_FLAGS}"
    if known.minio_url and not _resolves(known.minio_url):
        answer = context.asked("models")
        if answer is not None and not answer.error:
            what = "A pod has written, read, and deleted a probe object, with the pipelines' keys."
            yield Finding("storage.models", "ok", what, where)
            return
        if answer is not None and NO_CLIENT not in answer.error:
            what = f"A pod can't use the bucket with the pipelines' keys: {answer.error}"
            yield Finding("storage.models", "broken", what, where, why, fix)
            return
        what = f"{known.minio_url} is a name inside the cluster; this machine can't test it."
        ask = f"pdk-nb doctor --only storage --probe, or: {PROBE} -sf {known.minio_url}/minio/health/live"
        yield Finding("storage.models", "unknown", what, where, why, ask)
        return
    try:
        store = storage.models_of(known)
        storage.probe(store, context.names.model)
    except PdkError as error:
        lacking = any(word in error.what for word in WITHOUT_CREDENTIALS)
        if lacking:
            what = f"This machine has no credentials to test the bucket: {error.what}"
            yield Finding("storage.models", "unknown", what, where, why, f"{fix}  with the credentials of the pods")
        else:
            yield Finding("storage.models", "broken", error.what, where, why, fix)
        return
    whose = "the pipelines' keys" if known.minio_access_key else "this machine's credentials"
    what = f"A probe object was written, read, and deleted, with {whose}."
    yield Finding("storage.models", "ok", what, where)


def _resolves(url: str) -> bool:
    try:
        socket.getaddrinfo(urlsplit(url).hostname, None)
    except OSError:
        return False
    return True


def _gateway(context: Context) -> Findings:
    """Whether models can be read through the S3 gateway as KServe reads them."""
    known = context.settings
    endpoint = known.mldm_s3_endpoint if "//" in known.mldm_s3_endpoint else f"http://{known.mldm_s3_endpoint}"
    why = GATEWAY_WHY
    if not _resolves(endpoint):
        answer = context.asked("gateway")
        if answer is not None:
            yield _from_a_pod(context, answer)
            return
        what = "The S3 gateway has a name inside the cluster; this machine can't test it."
        ask = f"pdk-nb doctor --only storage --probe, or: {PROBE} -s {endpoint}"
        yield Finding("storage.gateway", "unknown", what, known.mldm_s3_endpoint, why, ask)
        return
    fix = _gateway_fix(context)
    try:
        parts = urlsplit(endpoint)
        context.reach(parts.hostname or "", parts.port or 80)
        key = known.pac_token.reveal() or UNCHECKED_KEY
        count = _count_buckets(endpoint, key)
    except PdkError as error:
        yield Finding("storage.gateway", "broken", error.what, known.mldm_s3_endpoint, why, fix)
        return
    what = f"The S3 gateway accepts the token and lists {counted(count, 'bucket')}."
    yield Finding("storage.gateway", "ok", what, known.mldm_s3_endpoint)


def _from_a_pod(context: Context, answer: Answer) -> Finding:
    """What a pod of the cluster says about the gateway."""
    place = context.settings.mldm_s3_endpoint
    if not answer.error:
        what = f"The S3 gateway accepts the token and lists {counted(int(answer.value), 'bucket')}, seen from a pod."
        return Finding("storage.gateway", "ok", what, place)
    if NO_CLIENT in answer.error:
        what = "The probe's image has no S3 client: build the deploy image first."
        return Finding(
            "storage.gateway", "unknown", what, place, GATEWAY_WHY, "pdk-nb images build && pdk-nb images push"
        )
    what = f"A pod can't list the S3 gateway's buckets: {answer.error}"
    return Finding("storage.gateway", "broken", what, place, GATEWAY_WHY, _gateway_fix(context))


def _count_buckets(endpoint: str, key: str) -> int:
    """The number of buckets that a signed request lists.

    Raises:
        ServiceUnreachable: It is refused.
    """
    import boto3
    from botocore.config import Config
    from botocore.exceptions import BotoCoreError, ClientError

    config = Config(connect_timeout=TIMEOUT_S, read_timeout=TIMEOUT_S, retries={"max_attempts": 1})
    client = boto3.client(
        "s3",
        endpoint_url=endpoint,
        aws_access_key_id=key,
        aws_secret_access_key=key,
        region_name="us-east-1",
        config=config,
    )
    try:
        return len(client.list_buckets()["Buckets"])
    except ClientError as error:
        raise ServiceUnreachable(f"The S3 gateway refuses the token: {error.response['Error'].get('Code')}.") from error
    except BotoCoreError as error:
        raise ServiceUnreachable(f"The S3 gateway doesn't answer: {error}.") from error


def _gateway_fix(context: Context) -> str:
    place = context.settings.mldm_namespace
    right = context.set_values(mldm_s3_endpoint=f"pachd.{place}:30600")
    return f"kubectl -n {place} get service pachd -o yaml | grep -B2 -A2 s3; then {right}"


def _account(context: Context, endpoint: str) -> Findings:
    """Service account and secret of the predictors, and whether they point to the models."""
    import kubernetes

    known = context.settings
    namespace = known.kserve_model_namespace
    place = f"{namespace}/{PREDICTOR_ACCOUNT}, {namespace}/{PREDICTOR_SECRET}"
    why = "Predictors load their model as this account."
    fix = "pdk-nb config init --apply"
    try:
        account = context.core.read_namespaced_service_account(PREDICTOR_ACCOUNT, namespace, _request_timeout=TIMEOUT_S)
        secret = context.core.read_namespaced_secret(PREDICTOR_SECRET, namespace, _request_timeout=TIMEOUT_S)
    except kubernetes.client.ApiException as error:
        if error.status == 404:
            what = "The predictors' account doesn't exist yet; notebook 01 creates it."
            yield Finding("storage.account", "ok", what, place)
        else:
            what = f"Can't read the predictors' account ({error.status} {error.reason})."
            yield Finding("storage.account", "unknown", what, place, why, f"kubectl -n {namespace} get serviceaccounts")
        return
    listed = {each.name for each in account.secrets or []}
    leads_to = (secret.metadata.annotations or {}).get(ENDPOINT_NOTE, "")
    wanted = endpoint.split("//")[-1].rstrip("/")
    if PREDICTOR_SECRET not in listed:
        what = f"The account doesn't use the secret {PREDICTOR_SECRET}."
    elif leads_to != wanted:
        what = f"The secret points to {leads_to or 'nothing'}; models are at {wanted}."
    elif not all((secret.data or {}).get(key) for key in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY")):
        what = "The secret's keys are empty; S3 clients refuse to sign with empty keys."
    else:
        yield Finding("storage.account", "ok", f"Account {PREDICTOR_ACCOUNT} points to {wanted}.", place)
        return
    yield Finding("storage.account", "broken", what, place, why, fix)
