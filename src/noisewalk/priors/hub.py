"""Priors on the Hugging Face Hub: downloaded once, read from the Hub's cache, uploaded."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from .._packages import cache_folder
from ..errors import ConfigError, WeightsError
from .cards import read_card, read_table
from .diffusers import PICKLED, WEIGHTS, read_unet

FOLDERS = ("unet/", "")  # where a repository may keep its network, the usual place first
EXTRAS = ("card.json", "scheduler/scheduler_config.json")
OF_LATENTS = (
    "vae/config.json",
    f"vae/{WEIGHTS}",
    *(f"tokenizer/{name}" for name in ("tokenizer_config.json", "tokenizer.json", "vocab.json")),
    *(f"tokenizer/{name}" for name in ("merges.txt", "special_tokens_map.json")),
    "text_encoder/config.json",
    "text_encoder/model.safetensors",
)
"""Files of a latent pipeline beside its network; what is lacking is told when it is read."""
PUSHED = ("card.json", "unet/config.json", f"unet/{WEIGHTS}", "samples.png")


def fetch_repository(repository: str, revision: str | None = None) -> Path:
    """The folder of a repository, from the Hub if it answers one request, else from the cache."""
    from huggingface_hub import errors as hf
    from huggingface_hub import get_hf_file_metadata, hf_hub_url

    with _quiet():
        try:
            url = hf_hub_url(repository, f"{FOLDERS[0]}config.json", revision=revision)
            get_hf_file_metadata(url)
        except hf.EntryNotFoundError:
            pass  # the Hub answers; the network lies elsewhere in the repository
        except (hf.HfHubHTTPError, hf.HFValidationError, hf.HTTPError, OSError) as error:
            if copy := cached_copy(repository, revision):
                return copy
            raise _refusal(repository, error) from error
        try:
            return _download(repository, revision)
        except (hf.HfHubHTTPError, hf.HTTPError, OSError) as error:
            raise _refusal(repository, error) from error


def cached_copy(repository: str, revision: str | None = None) -> Path | None:
    """The folder of a repository that is in noisewalk's cache or in the Hub's."""
    from huggingface_hub import try_to_load_from_cache
    from huggingface_hub.errors import HFValidationError

    if (by_hand := _default_folder(repository)).is_dir():
        return by_hand
    try:
        for folder in FOLDERS:
            config, *weights = (
                try_to_load_from_cache(repository, folder + name, revision=revision)
                for name in ("config.json", WEIGHTS, PICKLED)
            )
            if isinstance(config, str) and any(isinstance(path, str) for path in weights):
                return Path(config).parents[1 if folder else 0]
    except HFValidationError:
        pass  # what is no repository's name is not in the cache
    return None


def push_prior(folder: str | Path, repository: str, private: bool = False) -> str:
    """Upload a prior that `noisewalk train` wrote; returns the address of the repository."""
    from huggingface_hub import HfApi
    from huggingface_hub import errors as hf

    if repository.count("/") != 1:
        raise ConfigError(f"a repository is OWNER/NAME, got {repository!r}")
    folder, api = Path(folder), HfApi()
    read_unet(folder / "unet", read_card(folder)["sha256"])
    with _quiet():
        try:
            address = api.create_repo(repository, private=private or None, exist_ok=True)
            if private and not api.model_info(repository).private:
                way_out = "choose another name, or make it private on the Hub first"
                raise ConfigError(f"{repository} is there already and public: {way_out}")
            said = f"Upload {folder.name} from noisewalk"
            files: Any = {"folder_path": folder, "allow_patterns": list(PUSHED)}
            api.upload_folder(repo_id=repository, commit_message=said, **files)
        except hf.HFValidationError as error:
            named = "a repository is OWNER/NAME of letters, digits, -, _ and ."
            raise ConfigError(f"{named}, got {repository!r}") from error
        except (hf.HfHubHTTPError, hf.HTTPError, OSError) as error:
            reason = _reason(error)
            raise WeightsError(f"cannot push {folder} to {repository} ({reason})") from error
    return str(address)


def _download(repository: str, revision: str | None) -> Path:
    """The folder of a repository; weights come last, so that cached ones mean a whole copy."""
    from huggingface_hub import errors as hf
    from huggingface_hub import hf_hub_download

    def get(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except hf.LocalEntryNotFoundError:
            raise
        except hf.EntryNotFoundError:
            return None

    holds = f"the Hub repository {repository} holds"
    for folder in FOLDERS:
        if (config := get(f"{folder}config.json")) is None:
            continue
        for extra in EXTRAS:
            get(extra)
        if (index := get("model_index.json")) and "vae" in read_table(index):
            for extra in OF_LATENTS:
                get(extra)
        if not any(get(folder + name) for name in (WEIGHTS, PICKLED)):
            lacks = f"neither {folder}{WEIGHTS} nor {folder}{PICKLED}"
            raise WeightsError(f"{holds} {folder}config.json but {lacks}")
        return config.parents[1 if folder else 0]
    raise WeightsError(f"{holds} no unet/config.json or config.json: it is no diffusers network")


@contextmanager
def _quiet() -> Iterator[None]:
    """Let the Hub's client log errors alone: what it says about its retries is one error here."""
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
        f"that right and try again, or put its unet/config.json and unet/{WEIGHTS} into "
        f"{_default_folder(repository)}"
    )


def _reason(error: Exception) -> str:
    from huggingface_hub import errors as hf

    match error:
        case hf.RepositoryNotFoundError():
            return "there is no such repository, or it is private and you are not logged in"
        case hf.RevisionNotFoundError():
            return "it has no such revision"
        case hf.HFValidationError():
            return "that is no repository's name"
        case hf.HfHubHTTPError() if error.response.status_code in (401, 403):
            return "not allowed: log in with hf auth login, or set HF_TOKEN to a token that may"
        case hf.HfHubHTTPError():
            return f"the Hub answers with status {error.response.status_code}"
        case hf.OfflineModeIsEnabled():
            return "HF_HUB_OFFLINE is set"
        case OSError(errno=int(), strerror=str(strerror)):
            return strerror
    return "no connection"
