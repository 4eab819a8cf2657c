"""The two clients: boto3 for credentials and listings, and a faster one for bytes."""

import os
import random
from datetime import timedelta
from pathlib import Path
from typing import Any

import boto3
from botocore import UNSIGNED
from botocore.config import Config
from botocore.exceptions import NoCredentialsError
from obstore.auth.boto3 import Boto3CredentialProvider
from obstore.store import S3Store

from imagemill.sources.s3 import Bucket

REQUESTS = 64  # objects in flight at a time
ATTEMPTS = 6  # of one request, with growing pauses in between
PAUSE, LONGEST = 0.2, 20.0  # seconds to wait at most after the first failure, and after any
LATEST = timedelta(minutes=5)  # until boto3 is asked again for credentials, which it renews
TIMEOUT = timedelta(seconds=60)  # without a byte


def connect(spec: Bucket) -> tuple[boto3.Session, Any]:
    """Return boto3's session and client. Raises what boto3 raises."""
    session = boto3.Session(profile_name=spec.profile, region_name=spec.region)
    if not spec.anonymous and session.get_credentials() is None:
        raise NoCredentialsError
    signature = {"signature_version": UNSIGNED} if spec.anonymous else {}
    config = Config(
        retries={"mode": "standard", "total_max_attempts": ATTEMPTS},
        connect_timeout=10,
        read_timeout=TIMEOUT.total_seconds(),
        max_pool_connections=REQUESTS,
        # A store of one's own seldom has a name for every bucket.
        s3={"addressing_style": "path"} if spec.endpoint else None,
        **signature,
    )
    region = session.region_name or "us-east-1"
    return session, session.client(
        "s3", endpoint_url=spec.endpoint, region_name=region, config=config
    )


def pause(attempt: int) -> float:
    """Return the seconds to wait after failure ``attempt``, from 0: more each time, by chance."""
    return random.uniform(0, min(LONGEST, PAUSE * 2**attempt))  # noqa: S311 (no secret)


def asked(spec: Bucket) -> dict[str, str]:
    """Return what every request of boto3 says."""
    payer = {"RequestPayer": "requester"} if spec.requester_pays else {}
    return {"Bucket": spec.bucket, **payer}


def store(spec: Bucket, session: boto3.Session, client: Any) -> S3Store:
    """Return the client that moves bytes, with boto3's credentials, region and endpoint."""
    endpoint = client.meta.endpoint_url
    region = _region(spec, session, client)
    if _is_aws(endpoint):
        endpoint = f"https://s3.{region}.amazonaws.com{'.cn' if region.startswith('cn-') else ''}"
    signing: dict[str, Any] = {"skip_signature": True}
    if not spec.anonymous:
        signing = {"credential_provider": Boto3CredentialProvider(session, ttl=LATEST)}
    bundle = os.environ.get("AWS_CA_BUNDLE")
    return S3Store(
        spec.bucket,
        endpoint=endpoint,
        aws_endpoint_url_s3=endpoint,  # or the environment's would win
        region=region,
        request_payer=spec.requester_pays,
        virtual_hosted_style_request=False,
        client_options={
            "allow_http": endpoint.startswith("http://"),
            "read_timeout": TIMEOUT,
            "timeout": 10 * TIMEOUT,
            "connect_timeout": timedelta(seconds=10),
            **({"root_certificate": Path(bundle).read_bytes()} if bundle else {}),
        },
        retry_config={"max_retries": 0},  # it would not try again an answer that breaks off
        **signing,
    )


def _region(spec: Bucket, session: boto3.Session, client: Any) -> str:
    """Return the region to sign for: AWS tells a bucket's, and others do not care."""
    if spec.region or not _is_aws(client.meta.endpoint_url):
        return spec.region or session.region_name or "us-east-1"
    return str(client.head_bucket(Bucket=spec.bucket).get("BucketRegion") or "us-east-1")


def _is_aws(endpoint: str) -> bool:
    return ".amazonaws.com" in endpoint
