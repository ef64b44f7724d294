"""Rerank services over HTTP: Jina, Cohere, Voyage, TEI, vLLM, infinity."""
