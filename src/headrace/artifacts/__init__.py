"""Typed readers of the files that dbt leaves behind."""

from headrace.artifacts.manifest import Manifest, Node, read_manifest

__all__ = ["Manifest", "Node", "read_manifest"]
