"""sidmint: build, diagnose, gate, publish and audit Semantic ID tables."""

__version__ = "0.1.0"
