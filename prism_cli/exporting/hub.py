"""Push an exported folder to the model hub, in one commit.

Endpoint, token and retries are huggingface_hub's: HF_ENDPOINT, HF_TOKEN or `hf auth login`, and
several attempts for each request but the commit itself.
"""

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from fnmatch import fnmatch
from pathlib import Path
from typing import Any

import httpx2

from prism_cli.errors import PrerequisiteError, ProviderError, UsageError, first_line
from prism_cli.exporting.folder_record import CARD, SUMS, listed_files, update_sum
from prism_cli.shards.lock import output_lock
from prism_cli.version import __version__

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "pytorch_model*", "adapter_config.json")
"""Files that a loader would read beside the exported ones, or instead of them."""
_TEMPORARY = {408, 409, 412, 429}
_LOG_IN = "log in with `hf auth login`, or set HF_TOKEN to a token that may write"


@dataclass(frozen=True)
class HubRepo:
    """A repository on the hub.

    Attributes:
        id: ORG/NAME.
        private: the wanted visibility.
    """

    id: str
    private: bool

    @property
    def url(self) -> str:
        """The address of its page."""
        return f"{_endpoint()}/{self.id}"


def hub_repo(id: str, *, public: bool) -> HubRepo:
    """Return a repository after the checks that need no network.

    Raises:
        UsageError: `id` cannot be a repository's name, or HF_HUB_OFFLINE is set.
    """
    from huggingface_hub import utils
    from huggingface_hub.constants import is_offline_mode
    from huggingface_hub.errors import HFValidationError

    option = f"--push-to-hub {id}"
    try:
        _untyped(utils).validate_repo_id(id)
    except HFValidationError as error:
        raise UsageError(f"{option}: expected ORG/NAME: {first_line(error)}") from error
    if "/" not in id:
        raise UsageError(f"{option}: expected ORG/NAME, with your user name or an organization")
    if is_offline_mode():
        raise UsageError(
            f"{option}: HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE is set; unset it, or leave "
            "--push-to-hub out"
        )
    return HubRepo(id, private=not public)


def check_access(repo: HubRepo) -> None:
    """Check token, organization and visibility, before an export.

    Raises:
        PrerequisiteError: no token, one that the hub refuses or that only reads, or no membership
            of the organization.
        ProviderError: the hub cannot be reached.
        UsageError: the repository exists with the other visibility.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import LocalTokenNotFoundError

    with _hub_errors(repo, "nothing was uploaded"):
        try:
            who = HfApi().whoami()
        except LocalTokenNotFoundError as error:
            raise PrerequisiteError(
                f"--push-to-hub {repo.id}: no token of {_endpoint()}; nothing was uploaded. First "
                f"{_LOG_IN}"
            ) from error
        _check_rights(repo, who)
        _existing(repo)


def _check_rights(repo: HubRepo, who: dict[str, Any]) -> None:
    user, organizations = str(who.get("name")), who.get("orgs")
    if (who.get("auth") or {}).get("accessToken", {}).get("role") == "read":
        raise PrerequisiteError(
            f"--push-to-hub {repo.id}: the token of {user} may only read; nothing was uploaded. "
            f"First {_LOG_IN}"
        )
    owner = repo.id.partition("/")[0]
    owners = [user, *(str(one.get("name")) for one in organizations or ())]
    if organizations is not None and owner.casefold() not in map(str.casefold, owners):
        raise PrerequisiteError(
            f"--push-to-hub {repo.id}: the token is of {user}, who is no member of {owner}; "
            f"nothing was uploaded. Expected one of {', '.join(owners)} before the slash"
        )


def push(folder: Path, repo: HubRepo, retry: str) -> dict[str, Any]:
    """Upload the files that SHA256SUMS lists, and SHA256SUMS, in one commit.

    Files of an earlier export that this one lacks are deleted in the same commit, and other weights
    beside the new ones; other files of the repository stay.

    Args:
        retry: the command that uploads the folder again, for error messages.

    Returns:
        `repo`, `url`, `commit`, `private`, `files`, `bytes`, and `changed`: False if the repository
        had the same content.

    Raises:
        PrerequisiteError: the hub refuses the token or the files.
        ProviderError: the hub cannot be reached or fails, after huggingface_hub's retries.
        UsageError: the repository exists with the other visibility.
    """
    from huggingface_hub import CommitOperationAdd, CommitOperationDelete, HfApi, utils

    if not sys.stderr.isatty():
        _untyped(utils).disable_progress_bars()
    api = HfApi()
    remedy = f"{folder} is complete; this command uploads it again: {retry}"
    with output_lock(folder), _hub_errors(repo, remedy):
        update_sum(folder, CARD)  # the card may have been edited
        names = [*listed_files(folder), SUMS]
        found = _existing(repo)
        if found is None:
            api.create_repo(repo.id, private=repo.private)
            found = api.repo_info(repo.id)
        additions = [CommitOperationAdd(name, folder / name) for name in names]
        deletions = [CommitOperationDelete(name) for name in _stale(repo, found, names)]
        commit = api.create_commit(
            repo.id,
            [*additions, *deletions],
            commit_message=f"Export by prism {__version__}",
            parent_commit=found.sha,
        )
    return {
        "repo": repo.id,
        "url": repo.url,
        "commit": commit.oid,
        "private": repo.private,
        "files": len(names),
        "bytes": sum((folder / name).stat().st_size for name in names),
        "changed": commit.oid != found.sha,
    }


def _existing(repo: HubRepo) -> Any:
    """Return the hub's description of the repository; None if there is none that the token may see.

    Raises:
        UsageError: it has the other visibility.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import RepositoryNotFoundError

    try:
        found = HfApi().repo_info(repo.id)
    except RepositoryNotFoundError:
        return None
    if bool(found.private) != repo.private:
        kind, remedy = (
            ("private", "leave --public out")
            if found.private
            else ("public", "give --public to update it as it is")
        )
        raise UsageError(
            f"--push-to-hub {repo.id}: the repository exists and is {kind}; nothing was uploaded. "
            f"Name another, change its visibility on the hub, or {remedy}"
        )
    return found


def _stale(repo: HubRepo, found: Any, names: Sequence[str]) -> list[str]:
    from huggingface_hub import HfApi

    present = {file.rfilename for file in found.siblings or ()}
    stale = {name for name in present if any(fnmatch(name, pattern) for pattern in _WEIGHTS)}
    stale = {name for name in stale if "/" not in name}
    if SUMS in present:
        sums = Path(HfApi().hf_hub_download(repo.id, SUMS, revision=found.sha))
        stale |= {*listed_files(sums.parent)} & present
    return sorted(stale - {*names})


@contextmanager
def _hub_errors(repo: HubRepo, remedy: str) -> Iterator[None]:
    """Raise errors of the hub and the network as PrismError, with what remains and what to do."""
    from huggingface_hub.errors import LocalEntryNotFoundError

    where = f"{_endpoint()}: {repo.id}"
    unreachable = (httpx2.TransportError, ConnectionError, LocalEntryNotFoundError)
    try:
        yield
    except (httpx2.HTTPError, OSError, RuntimeError, ValueError) as raised:
        # An error within an upload thread, or in a retry, comes as a RuntimeError.
        error = raised.__cause__ if type(raised) is RuntimeError and raised.__cause__ else raised
        response = getattr(error, "response", None)
        status = getattr(response, "status_code", None)
        said = " ".join((getattr(error, "server_message", None) or first_line(error)).split())
        said = said.rstrip(".")
        if status == 401:
            raise PrerequisiteError(
                f"{where}: the hub refused the token ({said}). First {_LOG_IN}; {remedy}"
            ) from raised
        if status == 403:
            raise PrerequisiteError(
                f"{where}: the token may not write there ({said}). First {_LOG_IN}; {remedy}"
            ) from raised
        if (
            (status is None and isinstance(error, unreachable))
            or status in _TEMPORARY
            or (status or 0) >= 500
        ):
            failure = f"status {status}, {said}" if status else f"no connection ({said})"
            raise ProviderError(f"{where}: {failure}; {remedy}") from raised
        raise PrerequisiteError(f"{where}: {said}; {remedy}") from raised


def _untyped(module: Any) -> Any:
    return module


def _endpoint() -> str:
    from huggingface_hub import constants

    return constants.ENDPOINT
