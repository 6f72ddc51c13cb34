"""The class through which huggingface_hub saves and loads modules, with their model card."""

import functools
from pathlib import Path
from typing import TYPE_CHECKING, Any

from torch import nn

from molspectra.pretrained.directory import CONFIG_FILE, WEIGHTS_FILE, load_directory, save

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


@functools.cache
def hub_module() -> Any:
    """Return the class, made at the first call, as huggingface_hub is an extra.

    Raises:
        ImportError: huggingface_hub is not installed.
    """
    try:
        from huggingface_hub import ModelCard, ModelCardData, ModelHubMixin, hf_hub_download
    except ImportError as error:
        raise ImportError("The Hub needs huggingface_hub; pip install 'molspectra[hub]'.") from error

    class HubModule(ModelHubMixin):
        """Holder of a module of any class. The mixin would otherwise have to be a base of that class itself."""

        def __init__(
            self, module: nn.Module, license: str | None = None, address: str = "hf://user/this_repository"
        ) -> None:
            self.module = module
            self.license = license
            self.address = address

        def _save_pretrained(self, save_directory: Path) -> None:
            save(self.module, save_directory)

        @classmethod
        def _from_pretrained(
            cls,
            *,
            model_id: str,
            revision: str | None,
            cache_dir: str | Path | None,
            force_download: bool,
            local_files_only: bool,
            token: str | bool | None,
            classes: tuple[type, ...] = (),
            **obsolete: Any,  # proxies and resume_download, which huggingface_hub passed before version 1
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
                for name in (CONFIG_FILE, WEIGHTS_FILE)
            ]
            return cls(load_directory(Path(paths[0]).parent, classes))

        def generate_model_card(self, *args: Any, **kwargs: Any) -> "ModelCard":
            # Filled in here, as the mixin's own template needs jinja2.
            data = ModelCardData(library_name="molspectra", license=self.license, tags=["chemistry", "molecules"])
            body = _CARD.format(name=type(self.module).__name__, module=self.module, address=self.address)
            return ModelCard(f"---\n{data.to_yaml()}\n---\n{body}")

    return HubModule
