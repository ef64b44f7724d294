"""Causal models that answer whether a document is relevant (Qwen3-Reranker and its like)."""

from __future__ import annotations

from .templates import Template, shipped_templates, template_for

__all__ = ["Template", "shipped_templates", "template_for"]
