"""Priors from the Hugging Face Hub: fetched once into the Hub's cache, read without a connection afterwards."""

from pathlib import Path

from ..errors import WeightsError

WEIGHTS = ("diffusion_pytorch_model.safetensors", "diffusion_pytorch_model.bin")
"""Names a repository may give its weights, the preferred one first."""
FOLDERS = ("unet/", "")


def fetch_repository(repository: str, revision: str | None = None) -> Path:
    """A repository's network, downloaded with a progress bar unless it is in the cache (HF_HOME, HF_HUB_OFFLINE as usual).

    Arguments:
        repository: "owner/name".
        revision: branch, tag or commit; None: main.

    Returns:
        The folder of the repository's files, with unet/config.json (or config.json) and the weights.

    Raises:
        WeightsError: no connection and not in the cache, no such repository, or one without a network.
    """
    import logging

    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError, HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, RepositoryNotFoundError

    def get(file: str) -> Path | None:
        try:
            return Path(hf_hub_download(repository, file, revision=revision))
        except LocalEntryNotFoundError:
            raise
        except EntryNotFoundError:
            return None

    log = logging.getLogger("huggingface_hub")
    level = log.level
    log.setLevel(logging.ERROR)  # its retries are told as one error below
    try:
        for folder in FOLDERS:
            if (config := get(f"{folder}config.json")) is None:
                continue
            if not any(get(folder + name) for name in WEIGHTS):
                raise WeightsError(f"the Hub repository {repository} holds {folder}config.json but neither {folder}{f' nor {folder}'.join(WEIGHTS)}")
            for extra in ("card.json", "scheduler/scheduler_config.json"):
                get(extra)
            return config.parents[1] if folder else config.parent
    except (LocalEntryNotFoundError, RepositoryNotFoundError, HfHubHTTPError, HFValidationError, OSError) as error:
        reason = "there is no such repository, or it is private" if isinstance(error, RepositoryNotFoundError) else "it is not in the cache, no connection"
        if isinstance(error, HFValidationError):
            reason = "that is no repository's name"
        raise WeightsError(
            f"cannot get {repository} from the Hub ({reason}): connect and try again, or put its {FOLDERS[0]}config.json and "
            f"{FOLDERS[0]}{WEIGHTS[0]} into a folder and give that folder ({_default_folder(repository)} is looked at too)"
        ) from error
    finally:
        log.setLevel(level)
    raise WeightsError(f"the Hub repository {repository} holds no unet/config.json and no config.json: it is no diffusers network")


def _default_folder(repository: str) -> Path:
    from .packages import cache_folder

    return cache_folder() / repository.replace("/", "--")


def cached_copy(repository: str) -> Path | None:
    """A repository's files that are here already: put by hand into the cache folder, or in the Hub's cache.

    Arguments:
        repository: "owner/name".

    Returns:
        The folder, None if there is none.
    """
    from huggingface_hub import try_to_load_from_cache

    by_hand = _default_folder(repository)
    if by_hand.is_dir():
        return by_hand
    for folder in FOLDERS:
        found = [try_to_load_from_cache(repository, folder + name) for name in ("config.json", *WEIGHTS)]
        if isinstance(found[0], str) and any(isinstance(path, str) for path in found[1:]):
            return Path(found[0]).parents[1] if folder else Path(found[0]).parent
    return None
