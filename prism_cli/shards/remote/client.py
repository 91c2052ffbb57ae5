"""Clients of buckets: credentials, endpoints, time limits."""

import os
from datetime import timedelta
from functools import cache
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from prism_cli.errors import MissingPackageError, PrerequisiteError, first_line
from prism_cli.files.urls import ObjectName

if TYPE_CHECKING:
    from obstore.store import ObjectStore

_REQUEST_SECONDS = 60
RETRIES = {
    "max_retries": 3,
    "retry_timeout": timedelta(seconds=2 * _REQUEST_SECONDS),
    "backoff": {
        "init_backoff": timedelta(seconds=0.2),
        "max_backoff": timedelta(seconds=5),
        "base": 2,
    },
}
"""Of the client library, so that one failed part does not repeat a whole upload."""
_LOOPBACK = ("127.0.0.1", "localhost", "::1")


def import_library(name: ObjectName) -> None:
    """Raise MissingPackageError if the client library is not installed."""
    try:
        import obstore  # noqa: F401
    except ImportError:
        raise MissingPackageError("obstore", "remote", where=str(name)) from None


def client(name: ObjectName) -> "ObjectStore":
    """Return the client of an object's bucket, with the credentials of the environment."""
    return _client(name.scheme, name.bucket)


@cache
def _client(scheme: str, bucket: str) -> "ObjectStore":
    from obstore.store import from_url

    options: dict[str, Any] = {"timeout": f"{_REQUEST_SECONDS}s", "connect_timeout": "10s"}
    settings: dict[str, Any] = {"client_options": options, "retry_config": RETRIES}
    if scheme == "s3":
        endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL", "")
        settings |= {"endpoint": endpoint} if endpoint else {}
        options |= {"allow_http": True} if urlsplit(endpoint).hostname in _LOOPBACK else {}
        settings |= {"disable_bulk_delete": True} | _profile()  # not all stores have bulk deletes
    store: ObjectStore = from_url(f"{scheme}://{bucket}", **settings)
    return store


def _profile() -> dict[str, Any]:
    """Return credentials and region of the user's AWS profile, unless the environment has a key."""
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return {}
    try:
        from boto3 import Session
        from botocore.exceptions import BotoCoreError, ClientError
        from obstore.auth.boto3 import Boto3CredentialProvider
    except ImportError:
        return {}
    try:
        session = Session()
        credentials = session.get_credentials()
        if credentials is not None:
            credentials.get_frozen_credentials()  # renews those of a role or single sign-on
    except (BotoCoreError, ClientError) as error:
        raise PrerequisiteError(
            f"AWS credentials: {first_line(error)}. Correct AWS_PROFILE or the files of the "
            "profiles, or renew them (such as with `aws sso login`); nothing was done"
        ) from error
    if credentials is None:
        if os.environ.get("AWS_SKIP_SIGNATURE"):
            return {}
        raise PrerequisiteError(
            "AWS credentials: there are none, neither in the environment, nor in a profile, nor "
            "from this machine's role. Set AWS_PROFILE, or AWS_ACCESS_KEY_ID and "
            "AWS_SECRET_ACCESS_KEY (for a public bucket AWS_SKIP_SIGNATURE=true); nothing was done"
        )
    return {"credential_provider": Boto3CredentialProvider(session)}
