"""Manifests: YAML to validated integrations and back. The only room that reads YAML.

`tree` finds the structure and its positions, `values` validates single values, `references` reads variables
and files, `fields` reads a whole config, and `loader` the manifest around it. `config` works on the validated
form, and `dumper` writes it.
"""

from intctl.manifest.config import from_plain, masked, needs_secret_again, to_plain
from intctl.manifest.dumper import dump
from intctl.manifest.fields import SecretsNeeded, StoredConfig
from intctl.manifest.loader import Loaded, Manifest, Overrides, load, revise, same_names
from intctl.manifest.references import ValueSources, read_file
from intctl.manifest.tree import MAX_BYTES

__all__ = [
    "MAX_BYTES",
    "Loaded",
    "Manifest",
    "Overrides",
    "SecretsNeeded",
    "StoredConfig",
    "ValueSources",
    "dump",
    "from_plain",
    "load",
    "masked",
    "needs_secret_again",
    "read_file",
    "revise",
    "same_names",
    "to_plain",
]
