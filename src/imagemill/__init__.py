"""imagemill: a declarative, config-driven build system for image datasets."""

__version__ = "0.1.0"
