"""Why a bucket, or one object of it, cannot be had, in one line for the user."""

import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

from botocore import exceptions as boto

from imagemill.errors import SourceError
from imagemill.sources.s3 import Bucket

_EXPIRED = (
    "the session token is expired or invalid; sign in again, such as with `aws sso login`, or "
    "set a new AWS_SESSION_TOKEN"
)
_ELSEWHERE = "the bucket is in another region; set `region` to the bucket's"
_BUSY = "the store kept failing through all retries; run it again later"

_NOWHERE = "there is no such bucket; check `bucket` and `endpoint`"
_DENIED = (
    "access is denied; check `bucket`, `prefix` and `profile`, or have these credentials allowed "
    "{rights}"
)

CODES = {
    "NoSuchBucket": _NOWHERE,
    "404": _NOWHERE,
    "InvalidBucketName": "no bucket can have this name; check `bucket`",
    "AccessDenied": _DENIED,
    "403": _DENIED,
    "AllAccessDisabled": "the bucket is closed to everybody; check `bucket`",
    "InvalidAccessKeyId": (
        "the store does not know this access key; check AWS_ACCESS_KEY_ID or `profile`, and that "
        "`endpoint` is the store that gave the key"
    ),
    "SignatureDoesNotMatch": (
        "the secret key does not fit the access key; check AWS_SECRET_ACCESS_KEY or `profile`"
    ),
    "ExpiredToken": _EXPIRED,
    "InvalidToken": _EXPIRED,
    "TokenRefreshRequired": _EXPIRED,
    "RequestTimeTooSkewed": (
        "the clock of this machine is wrong by many minutes; set it, such as with "
        "`timedatectl set-ntp true`"
    ),
    "RequestExpired": "the clock of this machine is wrong by many minutes; set it",
    "PermanentRedirect": _ELSEWHERE,
    "AuthorizationHeaderMalformed": _ELSEWHERE,
    "IllegalLocationConstraintException": _ELSEWHERE,
    "SlowDown": _BUSY,
    "ServiceUnavailable": _BUSY,
    "InternalError": _BUSY,
}
"""What each of S3's error codes means, and what to do."""

OF_ONE_OBJECT = {"403", "404", "AccessDenied", "SlowDown", "ServiceUnavailable", "InternalError"}
"""Codes of ``CODES`` that say nothing about other objects."""

_CREDENTIALS = (
    "no credentials found; set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or `profile`, or "
    "`anonymous` for a public bucket"
)
_UNREACHABLE = "nothing answers at {url}; check `endpoint`, `region` and the network"

CLASSES: dict[type[Exception], str] = {
    boto.ProfileNotFound: (
        "there is no profile {profile}; check `profile`; `aws configure list-profiles` lists them"
    ),
    boto.NoCredentialsError: _CREDENTIALS,
    boto.PartialCredentialsError: "half of the credentials is missing: {message}; set both",
    boto.SSOTokenLoadError: _EXPIRED,
    boto.TokenRetrievalError: _EXPIRED,
    boto.UnauthorizedSSOTokenError: _EXPIRED,
    boto.CredentialRetrievalError: "credentials cannot be had: {message}; check `profile`",
    boto.ParamValidationError: "no bucket can have this name; check `bucket`",
    boto.NoRegionError: "no region is known; set `region`",
    boto.SSLError: "no trusted connection to {url}; check `endpoint` and AWS_CA_BUNDLE",
    boto.ProxyConnectionError: "the proxy does not answer; check HTTPS_PROXY",
    boto.HTTPClientError: _UNREACHABLE,
    boto.ConnectionError: _UNREACHABLE,
    boto.BotoCoreError: "{message}; check the config of this bucket",
    ValueError: "{message}; check `endpoint` and `bucket`",
}
"""What the first that fits of boto3's own errors means, and what to do."""


def refusal(where: str, spec: Bucket, said: str) -> SourceError:
    """Return the error that ends the work: what it is for, its place, and what is wrong with it.

    ``where`` is a key of the config, such as ``sources.photos``, or a command.
    """
    return SourceError(f"{where}: {spec.url} at {_endpoint(spec) or 'AWS'}: {said}.")


@contextmanager
def refusing(where: str, spec: Bucket) -> Iterator[None]:
    """Raise ``SourceError`` for whatever boto3 raises in the block."""
    try:
        yield
    except boto.ClientError as error:
        raise refusal(where, spec, coded(code_of(error), spec)) from error
    except tuple(CLASSES) as error:
        said = next(words for kind, words in CLASSES.items() if isinstance(error, kind))
        url = _endpoint(spec) or f"S3 in {spec.region or 'the default region'}"
        message = " ".join(str(error).split()).rstrip(".")
        profile = f"`{spec.profile}`" if spec.profile else "of that name (AWS_PROFILE)"
        filled = said.format(message=message, profile=profile, url=url)
        raise refusal(where, spec, filled) from error


def _endpoint(spec: Bucket) -> str | None:
    named = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
    return spec.endpoint or next((os.environ[n] for n in named if os.environ.get(n)), None)


def coded(code: str, spec: Bucket) -> str:
    """Return what a code of S3's means for a bucket."""
    unknown = f"the store refuses it ({code}); check the config of this bucket"
    return CODES.get(code, unknown).replace("{rights}", spec.rights)


def code_of(error: Exception) -> str:
    """Return the code that S3 gave, through either client, or nothing."""
    if isinstance(error, boto.ClientError):
        return str(error.response["Error"].get("Code", ""))
    found = re.search(r"<Code>(\w+)</Code>", str(error))
    return found[1] if found else ""


_REFUSED = re.compile(r"status code: 4\d\d")


def may_pass(error: Exception) -> bool:
    """Tell whether the same request may get another answer: a busy store, a broken connection."""
    return (
        " 429 " in str(error)
        or code_of(error) == "RequestTimeout"
        or not _REFUSED.search(str(error))
    )


def last_answer(error: Exception, tries: int) -> str:
    """Return the last answer in one line, without what is special to one request."""
    text, code = str(error), code_of(error)
    answer = re.search(r"status code: (\d+ [\w ]+)", text)
    cause = re.search(r"kind: (\w+)", text)
    said = answer[1] if answer else _CAUSES.get(cause[1] if cause else "", type(error).__name__)
    return f"{tries} tries, the last: {said}{f' ({code})' if code else ''}"


_CAUSES = {
    "Connect": "no connection",
    "Interrupted": "the answer broke off",
    "Request": "the connection broke",
    "Timeout": "no answer in time",
}
"""What the Rust client's words for broken connections mean."""
