"""Names of objects in stores: `s3://BUCKET/KEY` and the like, and their local places."""

import os
import re
import unicodedata
from pathlib import Path, PosixPath
from typing import NamedTuple
from urllib.parse import unquote

from prism_cli.errors import UsageError

SCHEMES = ("s3", "gs", "az", "abfs", "abfss")
_URL = re.compile(r"([A-Za-z][A-Za-z0-9+.-]*)://")
_QUERY = re.compile(r"\?[\w.-]+=")
"""Query string, as of a presigned URL; a `?` alone is part of a pattern."""
_STAGED = "staged-objects"
"""Folder whose content mirrors object stores: staged-objects/SCHEME/BUCKET/KEY."""


class ObjectName(NamedTuple):
    """Place of an object.

    Attributes:
        bucket: also the account of a URL `abfs://CONTAINER@ACCOUNT.dfs.core.windows.net/…`.
        key: "" for the whole bucket; with a slash at its end for a folder.
    """

    scheme: str
    bucket: str
    key: str

    def __str__(self) -> str:
        return f"{self.scheme}://{self.bucket}/{self.key}"


def is_url(name: str) -> bool:
    """Return whether a name is that of an object in a store, not of a local file."""
    return bool(_URL.match(name)) and not name.startswith("file://")


def parse_url(url: str) -> ObjectName:
    """Return the parts of the name of an object, a folder or a pattern.

    Raises:
        UsageError: another scheme, a key or password in the URL, or a name that no local path can
            have.
    """
    shown = without_secrets(url)
    scheme, _, rest = url.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme.lower() not in SCHEMES:
        raise UsageError(
            f"{shown}: expected a local path or a URL that begins with "
            f"{', '.join(f'{name}://' for name in SCHEMES)} or file://; download it first"
        )
    if shown != url or ":" in bucket:
        raise UsageError(
            f"{shown}: holds a key, a password or the query of a presigned URL, which would appear "
            "in manifests and logs. Name the object without it; credentials come from the "
            "environment (`prism help storage`)"
        )
    if not bucket:
        raise UsageError(f"{shown}: expected the name of a bucket behind ://")
    if any(part in ("", ".", "..") for part in key.removesuffix("/").split("/") if key):
        raise UsageError(f"{shown}: a key with an empty part, or with . or .. as one, is not read")
    if any(unicodedata.category(mark) == "Cc" for mark in url):
        raise UsageError(f"{shown!r}: a key with control characters is not read")
    return ObjectName(scheme.lower(), bucket, key)


def without_secrets(url: str) -> str:
    """Return a URL without user, password and query string."""
    match = _QUERY.search(url)
    shown = url[: match.start()] + "?…" if match else url
    return re.sub(r"://[^/@:]*:[^/@]*@", "://…@", shown)


def local_name(name: str) -> str:
    """Return the local path of a URL file:///PATH; any other name as it is.

    Raises:
        UsageError: the URL names another machine, or no absolute path.
    """
    if not name.startswith("file://"):
        return name
    path = name.removeprefix("file://").removeprefix("localhost")
    if not path.startswith("/"):
        raise UsageError(f"{name}: expected file:///PATH, with an absolute path of this machine")
    return unquote(path)


class StagedPath(PosixPath):
    """Local place of an object while it is written; as text it is the object's URL, so that
    messages, summaries and manifests name the object."""

    def __str__(self) -> str:
        local = super().__str__()
        _, _, inside = local.partition(f"/{_STAGED}/")
        scheme, slash, rest = inside.partition("/")
        return f"{scheme}://{rest}" if slash else local

    def __fspath__(self) -> str:
        return super().__str__()

    @property
    def object_name(self) -> ObjectName:
        """Name of the object."""
        scheme, _, rest = str(self).partition("://")
        bucket, _, key = rest.partition("/")
        return ObjectName(scheme, bucket, key)


class StagedFolder(StagedPath):
    """Place of a folder; a path joined to it is that of an object."""

    def __truediv__(self, name: str | os.PathLike[str]) -> StagedPath:  # type: ignore[override]
        return StagedPath(self, name)


def staged_path(url: str, state: Path) -> StagedPath:
    """Return the local place of an object, or of a folder if the URL ends with a slash.

    Args:
        state: the state directory.

    Raises:
        UsageError: as `parse_url`; the URL names no object in the bucket.
    """
    name = parse_url(url)
    kind = StagedFolder if name.key.endswith("/") or not name.key else StagedPath
    return kind(state.absolute() / _STAGED, name.scheme, name.bucket, name.key)
