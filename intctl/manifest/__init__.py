"""Manifests: YAML to validated integrations and back. The only room that reads YAML.

`tree` finds the structure and its positions, `values` judges single values, `references` fetches
what stands elsewhere, `load` puts them together, `config` knows the validated form, `dump` writes.
"""

from intctl.manifest.config import from_plain, masked, needs_secret_again, to_plain
from intctl.manifest.load import Loaded, Manifest, SecretsNeeded, Stored, load, revise, same_names
from intctl.manifest.references import read_file

__all__ = [
    "Loaded", "Manifest", "SecretsNeeded", "Stored", "from_plain", "load", "masked",
    "needs_secret_again", "read_file", "revise", "same_names", "to_plain",
]
