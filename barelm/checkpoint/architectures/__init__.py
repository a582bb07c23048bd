"""Families of models, a file each.  Whatever lies here is one the readers know; nothing else names it."""

import pkgutil
from importlib import import_module

from barelm.checkpoint.architectures.model_family import ModelFamily

_MODULES = sorted(module.name for module in pkgutil.iter_modules(__path__) if module.name != "model_family")
FAMILIES: dict[str, ModelFamily] = {found.architecture: found for found in (
    import_module(f"{__name__}.{name}").FAMILY for name in _MODULES)}
"""Every family by the name that files give its architecture."""
