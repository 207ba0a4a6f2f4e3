"""Priors on the Hugging Face Hub: fetched once into the Hub's cache, read without a connection
afterwards; trained ones pushed there."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from .._packages import cache_folder
from ..errors import ConfigError, WeightsError
from .cards import read_card
from .diffusers import PICKLED, WEIGHTS, read_unet

FOLDERS = ("unet/", "")
"""Where a repository may keep its network, the usual place first."""
PUSHED = ("card.json", "unet/config.json", f"unet/{WEIGHTS}", "samples.png")


def fetch_repository(repository: str, revision: str | None = None) -> Path:
    """A repository's network, downloaded with a progress bar unless it is in the cache (HF_HOME,
    HF_HUB_OFFLINE, HF_ENDPOINT as usual).

    One request, never repeated, finds out whether the Hub answers; without an answer the copy in
    the cache is taken.

    Arguments:
        repository: "owner/name".
        revision: branch, tag or commit; None: main.

    Returns:
        The folder of the repository's files, with unet/config.json (or config.json) and the
        weights.

    Raises:
        WeightsError: no connection and not in the cache, no such repository, or one without a
            network.
    """
    from huggingface_hub import get_hf_file_metadata, hf_hub_url
    from huggingface_hub.errors import (
        EntryNotFoundError,
        HfHubHTTPError,
        HFValidationError,
        HTTPError,
    )

    with _quiet():
        try:
            get_hf_file_metadata(
                hf_hub_url(repository, f"{FOLDERS[0]}config.json", revision=revision)
            )
        except EntryNotFoundError:
            pass  # the Hub answers; the network lies elsewhere in the repository
        except (HfHubHTTPError, HFValidationError, HTTPError, OSError) as error:
            if copy := cached_copy(repository, revision):
                return copy
            raise _refusal(repository, error) from error
        try:
            return _download(repository, revision)
        except (HfHubHTTPError, HTTPError, OSError) as error:
            raise _refusal(repository, error) from error


def cached_copy(repository: str, revision: str | None = None) -> Path | None:
    """A repository's files that are here already: put by hand into the cache folder, or in the
    Hub's cache.

    Arguments:
        repository: "owner/name".
        revision: branch, tag or commit, for the Hub's cache; None: main.

    Returns:
        The folder, None if there is none.
    """
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if (by_hand := _default_folder(repository)).is_dir():
        return by_hand
    try:
        for folder in FOLDERS:
            found = [
                try_to_load_from_cache(repository, folder + name, revision=revision)
                for name in ("config.json", WEIGHTS, PICKLED)
            ]
            if isinstance(found[0], str) and any(isinstance(path, str) for path in found[1:]):
                return Path(found[0]).parents[1] if folder else Path(found[0]).parent
    except HFValidationError:
        pass  # what is no repository's name is not in the cache
    return None


def push_prior(folder: str | Path, repository: str, private: bool = False) -> str:
    """Upload a prior that `noisewalk train` wrote: card, network and sheet of samples, none of the
    folder's other files.

    Arguments:
        folder: the prior's; it must load.
        repository: "owner/name", made if it is not there.
        private: only its owner sees it; False leaves it to the owner's settings.

    Returns:
        The repository's address.

    Raises:
        ConfigError: no "owner/name", or a public repository for a private prior.
        WeightsError: a folder that is no prior, no connection, or no right to write there.
    """
    from huggingface_hub import HfApi
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, HTTPError

    if repository.count("/") != 1:
        raise ConfigError(f"a repository is OWNER/NAME, got {repository!r}")
    folder = Path(folder)
    read_unet(folder / "unet", read_card(folder)["sha256"])
    api = HfApi()
    with _quiet():
        try:
            address = api.create_repo(repository, private=private or None, exist_ok=True)
            if private and not api.model_info(repository).private:
                raise ConfigError(
                    f"{repository} is there already and public: choose another name, or make "
                    "it private on the Hub first"
                )
            api.upload_folder(
                repo_id=repository,
                folder_path=folder,
                allow_patterns=list(PUSHED),
                commit_message=f"Upload {folder.name} from noisewalk",
            )
        except HFValidationError as error:
            raise ConfigError(
                f"a repository is OWNER/NAME of letters, digits, -, _ and ., got {repository!r}"
            ) from error
        except (HfHubHTTPError, HTTPError, OSError) as error:
            raise WeightsError(
                f"cannot push {folder} to {repository} ({_reason(error)})"
            ) from error
    return str(address)


def _download(repository: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, LocalEntryNotFoundError

    def get(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None

    for folder in FOLDERS:
        if (config := get(f"{folder}config.json")) is None:
            continue
        for extra in ("card.json", "scheduler/scheduler_config.json"):
            get(extra)
        if not any(
            get(folder + name) for name in (WEIGHTS, PICKLED)
        ):  # last, so that weights in the cache mean a whole copy
            raise WeightsError(
                f"the Hub repository {repository} holds {folder}config.json but neither "
                f"{folder}{WEIGHTS} nor {folder}{PICKLED}"
            )
        return config.parents[1] if folder else config.parent
    raise WeightsError(
        f"the Hub repository {repository} holds no unet/config.json and no config.json: it is "
        "no diffusers network"
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """The Hub's client says nothing but errors: what it would tell about its retries is one error
    here."""
    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)
    try:
        yield
    finally:
        log.setLevel(level)


def _default_folder(repository: str) -> Path:
    return cache_folder() / repository.replace("/", "--")


def _refusal(repository: str, error: Exception) -> WeightsError:
    return WeightsError(
        f"cannot get {repository} from the Hub ({_reason(error)}), nor is it in the cache: put "
        "that right and try again, or put its "
        f"unet/config.json and unet/{WEIGHTS} into {_default_folder(repository)}"
    )


def _reason(error: Exception) -> str:
    from huggingface_hub.errors import (
        HfHubHTTPError,
        HFValidationError,
        OfflineModeIsEnabled,
        RepositoryNotFoundError,
        RevisionNotFoundError,
    )

    match error:
        case RepositoryNotFoundError():
            return "there is no such repository, or it is private and you are not logged in"
        case RevisionNotFoundError():
            return "it has no such revision"
        case HFValidationError():
            return "that is no repository's name"
        case HfHubHTTPError() if error.response.status_code in (401, 403):
            return (
                "not allowed: log in with hf auth login, or set HF_TOKEN to a token with that right"
            )
        case HfHubHTTPError():
            return f"the Hub answers with status {error.response.status_code}"
        case OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case OSError(errno=int(), strerror=str(strerror)):
            return strerror
    return "no connection"
