"""Families of models, a file each.  Whatever lies here is one the readers know; nothing else names it."""

import pkgutil
from importlib import import_module

from barelm.checkpoint.model_family import ModelFamily

FAMILIES: dict[str, ModelFamily] = {found.architecture: found for found in (
    import_module(f"{__name__}.{module.name}").FAMILY for module in pkgutil.iter_modules(__path__))}
"""Every family by the name that files give its architecture."""
