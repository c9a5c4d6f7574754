"""The configuration of a run: one schema serves YAML files, the command line and jobs."""

from distlandscape.config.keys import Key, keys_of
from distlandscape.config.load import load_config, validate_config
from distlandscape.config.schema import RunConfig
from distlandscape.config.shared import RuntimeConfig
from distlandscape.config.text import read_mapping

__all__ = ["Key", "RunConfig", "RuntimeConfig", "keys_of", "load_config", "read_mapping", "validate_config"]
