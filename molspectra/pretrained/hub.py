"""Sharing modules through the Hugging Face Hub, as the safetensors and config.json that `save` writes."""

import functools
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from molspectra._config import Configurable
from molspectra._download import is_offline
from molspectra.pretrained.checkpoint import describe_module, load_directory, save

if TYPE_CHECKING:
    from huggingface_hub import ModelCard

_CARD = """
# {name}

A {name} of molspectra, as safetensors beside a readable config.json.

```python
import molspectra as ms

module = ms.pretrained.load("{address}")
```

```
{module}
```
"""


def save_pretrained(module: Configurable, directory: str | Path, *, license: str | None = None) -> None:
    """Write what :func:`push_to_hub` would upload: weights, configuration and a model card.

    Args:
        module: Any module that :func:`molspectra.pretrained.save` takes.
        directory: Where model.safetensors, config.json and README.md go; a README.md that is there stays.
        license: Licence of the weights, by its identifier at the Hub, for the card.

    Raises:
        ImportError: huggingface_hub is not installed.
        TypeError: the module, or an argument it was built with, cannot be written down.

    Example:
        >>> save_pretrained(ms.heads.VectorHead(channels=8), tmp_path / "head", license="mit")
        >>> from_pretrained(tmp_path / "head")
        VectorHead(...
    """
    assert isinstance(module, nn.Module)
    describe_module(module)  # huggingface_hub deletes the configuration that is there before it writes a new one
    _hub_module()(module, license).save_pretrained(directory)


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

    Only safetensors and JSON are read; nothing that comes with them is executed.

    Args:
        repo_id_or_directory: "user/repo", or a directory.
        revision: Branch, tag or commit; None is the main branch.
        classes: Your own classes that the configuration may name; those of this library are known.
        token: Access token of a private repository; None takes the one you are logged in with.
        cache_dir: Where files are kept; None is huggingface_hub's own cache.
        force_download: Fetch files anew.
        local_files_only: Use the cache alone, as MOLSPECTRA_OFFLINE=1 and HF_HUB_OFFLINE=1 make it.

    Returns:
        The module, in evaluation mode, on the CPU.

    Raises:
        ImportError: huggingface_hub is not installed.
        FileNotFoundError: the repository does not hold both files, or the cache does not where it alone may be used.
        ValueError: a file is damaged, the configuration names an unknown class, or the weights do not fit.
        OSError: there is no such repository or revision, or no connection (huggingface_hub's errors).
    """
    hub_module = _hub_module()
    from huggingface_hub.errors import EntryNotFoundError

    try:
        loaded = hub_module.from_pretrained(
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
            f"{repo_id_or_directory} does not hold config.json and model.safetensors, or they are neither in the cache "
            f"nor can be fetched; expected what molspectra.pretrained.push_to_hub uploads. {error}"
        ) from error
    return loaded.module


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
    """Upload a module to the Hub in one commit; the repository is made if need be.

    Args:
        module: Any module that :func:`molspectra.pretrained.save` takes.
        repo_id: "user/repo".
        private: Whether a new repository is private; None leaves it to the settings of the account.
        license: Licence of the weights, by its identifier at the Hub, for the model card.
        token: Access token; None takes the one you are logged in with.
        branch: Where to; None is the main branch.
        create_pr: Open a pull request with the commit.
        commit_message: What the commit is called.

    Returns:
        Address of the commit.

    Raises:
        ImportError: huggingface_hub is not installed.
        TypeError: the module, or an argument it was built with, cannot be written down.
        ConnectionError: MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set.
        OSError: the Hub refuses, or there is no connection (huggingface_hub's errors).
    """
    if is_offline():
        raise ConnectionError(
            f"{repo_id} cannot be written to, as MOLSPECTRA_OFFLINE or HF_HUB_OFFLINE is set; unset it, or write the "
            "files with save_pretrained."
        )
    assert isinstance(module, nn.Module)
    describe_module(module)  # refuse what cannot be saved before a repository is made
    commit = _hub_module()(module, license, f"hf://{repo_id}").push_to_hub(
        repo_id, private=private, token=token, branch=branch, create_pr=create_pr, commit_message=commit_message
    )
    return str(commit)


@functools.cache
def _hub_module() -> Any:
    """The class through which huggingface_hub saves and loads; made when first needed, as it is an extra."""
    try:
        from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, hf_hub_download
    except ImportError as error:
        raise ImportError("The Hub needs huggingface_hub; pip install 'molspectra[hub]'.") from error

    class HubModule(ModelHubMixin):
        """Holds a module of any class, for huggingface_hub's mixin would have to be a base of that class itself."""

        def __init__(
            self, module: nn.Module, license: str | None = None, address: str = "hf://user/this_repository"
        ) -> None:
            self.module = module
            self.license = license
            self.address = address

        def _save_pretrained(self, save_directory: Path) -> None:
            save(self.module, save_directory)

        @classmethod
        def _from_pretrained(  # type: ignore[override]  # which names its own argument
            cls,
            *,
            model_id: str,
            revision: str | None,
            cache_dir: str | Path | None,
            force_download: bool,
            local_files_only: bool,
            token: str | bool | None,
            classes: tuple[type, ...] = (),
        ) -> "HubModule":
            if Path(model_id).is_dir():
                return cls(load_directory(Path(model_id), classes))
            paths = [
                hf_hub_download(
                    model_id,
                    name,
                    revision=revision,
                    cache_dir=cache_dir,
                    force_download=force_download,
                    local_files_only=local_files_only,
                    token=token,
                )
                for name in ("config.json", "model.safetensors")
            ]
            return cls(load_directory(Path(paths[0]).parent, classes))

        def generate_model_card(self, *args: Any, **kwargs: Any) -> "ModelCard":
            # Written out, as the mixin's own way needs jinja2.
            data = ModelCardData(library_name="molspectra", license=self.license, tags=["chemistry", "molecules"])
            body = _CARD.format(name=type(self.module).__name__, module=self.module, address=self.address)
            return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}")

    return HubModule
