"""Family `generative`: chat models that write an order, here or on a server."""

from __future__ import annotations

import json
from collections.abc import Mapping
from importlib.metadata import PackageNotFoundError, version

from ...checkpoint import Checkpoint, open_checkpoint
from ...device import check_dtype
from ...errors import UsageError
from ...hashing import digest_json
from .._loading import LOGIT_SCORE, scoring_versions
from ..protocol import Family, RerankerInfo, RerankerSettings
from ..services.endpoint import check_variable, parse_endpoint
from ..services.options import read_options
from .local import LocalChat
from .prompts import Prompt, prompt_for
from .reranker import GenerativeReranker
from .server import ServerChat, ServerReranker
from .settings import (
    CONTEXT,
    RESERVED,
    GenerativeSettings,
    check_settings,
    scored_settings,
)

_HEAD = "ForCausalLM"
_URLS = ("http://", "https://")


class GenerativeFamily:
    """Any chat model: a checkpoint, or the URL of an OpenAI-compatible server."""

    name = "generative"
    models = "chat models that rank (RankZephyr, RankGPT; setwise, pairwise), here or on a server"
    listwise = True
    extra: str | None = "generative"
    settings: type[RerankerSettings] = GenerativeSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """True for a causal model of transformers' own, without sentence-transformers files."""
        names = config.get("architectures")
        causal = isinstance(names, list) and any(str(n).endswith(_HEAD) for n in names)
        own = not config.get("auto_map")
        return causal and own and not files & {LOGIT_SCORE, "modules.json"}

    def open(self, target: str, settings: RerankerSettings) -> GenerativeReranker:
        """The reranker for a folder, a hub id, or http(s)://HOST/v1; nothing is loaded or asked.

        Raises CheckpointError for a bad target, UsageError for settings that do not fit.
        """
        chosen = GenerativeSettings.model_validate(settings.model_dump())
        prompt = prompt_for(chosen.prompt, chosen.method)
        server = target.lower().startswith(_URLS)
        check_variable(chosen.key_env)
        options = read_options(chosen.options, RESERVED)
        chosen = chosen.model_copy(update={"options": options})
        check_settings(chosen, server=server)
        if server:
            return self._on_server(target, chosen, prompt)
        return self._here(open_checkpoint(target), chosen, prompt)

    def _here(
        self, checkpoint: Checkpoint, settings: GenerativeSettings, prompt: Prompt
    ) -> GenerativeReranker:
        own = checkpoint.config.get("dtype") or checkpoint.config.get("torch_dtype") or "float32"
        settings = settings.model_copy(
            update={
                "dtype": check_dtype(str(own) if settings.dtype == "auto" else settings.dtype),
                "max_length": _context(checkpoint, settings.max_length),
            }
        )
        info = RerankerInfo(
            name=checkpoint.name,
            family=self.name,
            listwise=True,
            revision=checkpoint.revision,
            weights=checkpoint.weights,
            settings=scored_settings(settings, prompt, server=False),
            versions={
                **scoring_versions(settings.device, settings.dtype),
                **_repairing_versions(prompt),
            },
        )
        chat = LocalChat(
            checkpoint,
            dtype=settings.dtype,
            device=settings.device,
            context=settings.max_length or CONTEXT,
            batch_prompts=settings.batch_prompts,
            thoughts=settings.reasoning_tokens,
        )
        if settings.reasoning_tokens:
            prompt = prompt.model_copy(update={"prefill": ""})  # an answer must not come first
        return GenerativeReranker(chat, prompt, settings, info)

    def _on_server(
        self, target: str, settings: GenerativeSettings, prompt: Prompt
    ) -> GenerativeReranker:
        endpoint = parse_endpoint(target)
        context = settings.max_length or CONTEXT
        settings = settings.model_copy(update={"max_length": context})
        model = (settings.model or "").strip()
        named = {"endpoint": endpoint.url, "model": model, "epoch": settings.epoch}
        info = RerankerInfo(
            name=model,
            family=self.name,
            listwise=True,
            revision=None,
            weights=digest_json(named),
            settings={**scored_settings(settings, prompt, server=True), **named},
            versions={"device": "service", **_repairing_versions(prompt)},
            pinned=False,
        )
        chat = ServerChat(
            endpoint,
            model,
            context=context,
            listwise=prompt.method == "listwise",
            thoughts=settings.reasoning_tokens,
            options=json.loads(settings.options) if settings.options else {},
            key_env=settings.key_env,
            concurrency=settings.concurrency,
            timeout=settings.timeout,
            tries=settings.tries,
            retry_wait=settings.retry_wait,
        )
        return ServerReranker(chat, prompt, settings, info)


def _context(checkpoint: Checkpoint, wanted: int | None) -> int:
    """Tokens of a prompt and its answer: as wanted, else min(4096, what the model has)."""
    positions = checkpoint.config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return wanted or CONTEXT
    if wanted and wanted > positions:
        raise UsageError(
            f"max_length={wanted} is more than the {positions} positions that "
            f"{checkpoint.name} has.",
            next_step=f"set max_length to {positions} or less",
        )
    return wanted or min(CONTEXT, positions)


def _repairing_versions(prompt: Prompt) -> dict[str, str]:
    """The version of ftfy where it repairs texts."""
    if not prompt.repair:
        return {}
    try:
        return {"ftfy": version("ftfy")}
    except PackageNotFoundError:
        return {"ftfy": "absent"}


family: Family = GenerativeFamily()
