"""Sharing modules through the Hugging Face Hub, as the safetensors and config.json that `save` writes."""

from collections.abc import Iterable
from pathlib import Path

from torch import nn

from molspectra._config import Configurable
from molspectra._download import is_offline
from molspectra._validation import checked
from molspectra.pretrained.hub_module import hub_module
from molspectra.pretrained.rebuilding import describe_module


@checked
def save_pretrained(module: Configurable, directory: str | Path, *, license: str | None = None) -> None:
    """Write the files that :func:`push_to_hub` would upload: weights, configuration and a model card.

    Args:
        module: Any module that :func:`molspectra.pretrained.save` takes.
        directory: Receives model.safetensors, config.json and README.md. An existing README.md is kept.
        license: License of the weights, by its identifier at the Hub, for the card.

    Raises:
        ImportError: huggingface_hub is not installed.
        TypeError: the module, or an argument it was built with, cannot be written down.

    Example:
        >>> save_pretrained(ms.heads.VectorHead(channels=8), tmp_path / "head", license="mit")
        >>> from_pretrained(tmp_path / "head")
        VectorHead(...
    """
    assert isinstance(module, nn.Module)
    # Checked first, as huggingface_hub deletes an existing configuration before it writes a new one.
    describe_module(module)
    hub_module()(module, license).save_pretrained(directory)


@checked
def from_pretrained(
    repo_id_or_directory: str | Path,
    *,
    revision: str | None = None,
    classes: Iterable[type] = (),
    token: str | bool | None = None,
    cache_dir: str | Path | None = None,
    force_download: bool = False,
    local_files_only: bool = False,
) -> nn.Module:
    """Rebuild a module from a repository at the Hub or from a directory.

    Only safetensors and JSON are read. Nothing that comes with them is executed.

    Args:
        repo_id_or_directory: "user/repo", or a directory.
        revision: Branch, tag or commit, None for the main branch.
        classes: Your own classes that the configuration may name, beside those of this library.
        token: Access token of a private repository, None for the one you are logged in with.
        cache_dir: Folder for the files, None for huggingface_hub's own cache.
        force_download: Fetch files again even if they are in the cache.
        local_files_only: Use the cache alone, as MOLSPECTRA_OFFLINE=1 and HF_HUB_OFFLINE=1 do.

    Returns:
        The module, in evaluation mode, on the CPU.

    Raises:
        ImportError: huggingface_hub is not installed.
        FileNotFoundError: the repository does not hold both files, or only the cache may be used and lacks them.
        ValueError: a file is damaged, the configuration names an unknown class, or the weights do not fit.
        OSError: the repository or revision does not exist, or cannot be reached (huggingface_hub's errors).
    """
    loader = hub_module()
    from huggingface_hub.errors import EntryNotFoundError

    try:
        loaded = loader.from_pretrained(
            repo_id_or_directory,
            revision=revision,
            token=token,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only or is_offline(),
            classes=tuple(classes),
        )
    except EntryNotFoundError as error:
        raise FileNotFoundError(
            f"{repo_id_or_directory} does not hold config.json and model.safetensors, or they are not in the cache and "
            f"cannot be fetched; expected a repository written by molspectra.pretrained.push_to_hub. {error}"
        ) from error
    return loaded.module


@checked
def push_to_hub(
    module: Configurable,
    repo_id: str,
    *,
    private: bool | None = None,
    license: str | None = None,
    token: str | None = None,
    branch: str | None = None,
    create_pr: bool = False,
    commit_message: str = "Upload a module with molspectra",
) -> str:
    """Upload a module to the Hub in one commit. The repository is made if need be.

    Args:
        module: Any module that :func:`molspectra.pretrained.save` takes.
        repo_id: "user/repo".
        private: True if a new repository is private, None if the settings of the account decide.
        license: License of the weights, by its identifier at the Hub, for the model card.
        token: Access token, None for the one you are logged in with.
        branch: Branch of the commit, None for the main branch.
        create_pr: Open a pull request with the commit.
        commit_message: Message of the commit.

    Returns:
        Address of the commit.

    Raises:
        ImportError: huggingface_hub is not installed.
        TypeError: the module, or an argument it was built with, cannot be written down.
        ConnectionError: MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set.
        OSError: the Hub refuses, or cannot be reached (huggingface_hub's errors).
    """
    if is_offline():
        raise ConnectionError(
            f"{repo_id} cannot be written to, as MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set. Unset it, or write the "
            "files with save_pretrained."
        )
    assert isinstance(module, nn.Module)
    describe_module(module)  # refuse a module that cannot be saved before a repository is made
    commit = hub_module()(module, license, f"hf://{repo_id}").push_to_hub(
        repo_id, private=private, token=token, branch=branch, create_pr=create_pr, commit_message=commit_message
    )
    return str(commit.commit_url)  # before version 1, the commit itself was the address of its folder
