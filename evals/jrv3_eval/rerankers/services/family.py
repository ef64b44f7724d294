"""Family `http`: a rerank service, hosted or run by the user."""

from __future__ import annotations

from collections.abc import Mapping

from ...errors import UsageError, unknown
from ...hashing import digest_json
from ..protocol import Family, RerankerInfo, RerankerSettings
from .endpoint import check_variable, parse_endpoint, shown_url
from .options import read_options
from .reranker import ServiceReranker
from .schemas import SERVICES, Service
from .settings import RESERVED, UNSCORED, ServiceSettings

FORM = "http:SERVICE/MODEL"
_COHERE_TOKENS = 4096  # Cohere's default, sent so that it cannot move unseen


class ServiceFamily:
    """A reranker that a service computes; its model can change unseen."""

    name = "http"
    models = f"rerank services ({', '.join(SERVICES)})"
    listwise = True
    extra: str | None = "http"
    settings: type[RerankerSettings] = ServiceSettings

    def recognises(self, config: Mapping[str, object], files: frozenset[str]) -> bool:
        """No checkpoint is a service."""
        return False

    def open(self, target: str, settings: RerankerSettings) -> ServiceReranker:
        """The reranker for SERVICE or SERVICE/MODEL; nothing is asked yet.

        Raises UsageError for an unknown service, a missing model or endpoint, and a setting that
        the service does not take. What may be a key in the wrong place is not shown.
        """
        service, model = _parse(target)
        chosen = ServiceSettings.model_validate(settings.model_dump())
        check_variable(chosen.key_env)
        options = read_options(chosen.options, RESERVED)
        endpoint = parse_endpoint(_endpoint(service, chosen))
        _check(service, chosen)
        listwise = not service.pairwise if chosen.listwise is None else chosen.listwise
        chosen = chosen.model_copy(
            update={**_effective(service, chosen, listwise), "options": options}
        )
        named = {
            "service": service.name,
            "endpoint": endpoint.url,
            "model": model,
            "epoch": chosen.epoch,
        }
        info = RerankerInfo(
            name=f"{service.name}/{model}" if model else service.name,
            family=self.name,
            listwise=listwise,
            revision=None,
            weights=digest_json(named),
            settings={**named, **chosen.model_dump(exclude=set(UNSCORED))},
            versions={"device": "service"},
            pinned=False,
        )
        return ServiceReranker(service, endpoint, model, chosen, info)


def _parse(target: str) -> tuple[Service, str | None]:
    """The service and the model of a target."""
    if target.startswith("//"):
        url = shown_url(f"http:{target}")
        raise UsageError(
            "A URL is no model spec.",
            where=url,
            next_step=f"name the service, and give the URL as its endpoint: --model {FORM} "
            f"--set endpoint={url or 'URL'}, where SERVICE is {', '.join(SERVICES)}",
        )
    name, _, rest = target.partition("/")
    service = SERVICES.get(name.strip())
    if service is None:
        raise unknown("service", name, SERVICES, where=f"the form is {FORM}")
    model = rest.strip() or None
    if model is None and service.model_required:
        raise UsageError(
            f"{service.title} has several models, and none is named.",
            next_step=f"give http:{service.name}/MODEL",
        )
    return service, model


def _endpoint(service: Service, settings: ServiceSettings) -> str:
    given = (settings.endpoint or "").strip() or service.endpoint
    if given is None:
        raise UsageError(
            f"The endpoint of {service.title} is not given.",
            next_step="--set endpoint=URL, for example --set endpoint=http://localhost:8080",
        )
    return given


def _check(service: Service, settings: ServiceSettings) -> None:
    """Raise UsageError for a setting that the service does not take."""
    unfit = [
        name
        for name in ("instruction", "max_tokens_per_doc")
        if getattr(settings, name) is not None and name not in service.takes
    ]
    if not settings.truncation and service.truncation is None:
        unfit.append("truncation")
    if settings.dtype != "float32":
        unfit.append("dtype")
    if unfit:
        raise UsageError(
            f"{service.title} does not take the setting {unfit[0]!r}.",
            next_step=f"leave {unfit[0]} out",
        )
    if settings.batch_limit and service.limit and settings.batch_limit > service.limit:
        raise UsageError(
            f"batch_limit={settings.batch_limit} is more than the {service.limit} documents that "
            f"{service.title} takes in one call.",
            next_step=f"set batch_limit to {service.limit} or less",
        )


def _effective(service: Service, settings: ServiceSettings, listwise: bool) -> dict[str, object]:
    """Defaults that depend on the service, and nothing that does not apply."""
    size = settings.batch_limit or min(service.batch, service.limit or service.batch)
    tokens = settings.max_tokens_per_doc
    if tokens is None and service.name == "cohere":
        tokens = _COHERE_TOKENS
    return {
        "listwise": listwise,
        "batch_limit": None if listwise else size,
        "max_tokens_per_doc": tokens,
        "endpoint": None,
    }


family: Family = ServiceFamily()
