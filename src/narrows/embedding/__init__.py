"""Features from a pretrained backbone, computed once and kept on disk."""

from narrows.embedding.backbone import POOLS, Backbone, identity_of, load_backbone
from narrows.embedding.stored import embed, embed_rows

__all__ = ["POOLS", "Backbone", "embed", "embed_rows", "identity_of", "load_backbone"]
