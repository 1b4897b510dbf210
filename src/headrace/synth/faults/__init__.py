"""Faults laid over clean data, and a manifest of every row that they affect."""

from headrace.synth.faults.manifest import Counted, FaultManifest
from headrace.synth.faults.overlay import Overlay
from headrace.synth.faults.spec import faults_of, parse_spec

__all__ = ["Counted", "FaultManifest", "Overlay", "faults_of", "parse_spec"]
