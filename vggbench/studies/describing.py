"""Descriptors of images, as appendix B of the paper takes them: computed as far as the store lacks them."""

from collections.abc import Sequence
from dataclasses import replace

from vggbench.errors import UsageError
from vggbench.evaluation.listening import Listener
from vggbench.evaluation.request import Request
from vggbench.evaluation.session import Hooks, conduct
from vggbench.paper.descriptors import Descriptor, OverScales
from vggbench.results.described import Described
from vggbench.weights.load import Model


def described(
    request: Request,
    descriptor: Descriptor,
    *,
    views: str | None = None,
    over_scales: OverScales = "average",
    listener: Listener | None = None,
) -> Described | None:
    """The descriptors of a request's images by its nets, in one pass; None after a dry run, and in all but one of
    several processes.

    `views`: `dense`, `center`, `tencrop` or `multicrop`; None is the descriptor's usual one. Raises UsageError where
    nets would be taken at different Qs, and what an evaluation raises.
    """
    request = replace(request, descriptor=descriptor, protocols=[descriptor.protocol(views)])
    session = conduct(request, listener, Hooks(check_models=lambda models: _require_same_scales(models, request)))
    if not session.speaks:
        return None
    nets = [[session.plan.run_of(job) for job in request.jobs_of(model)] for model in session.models]
    by_scale = [tuple(sorted(runs, key=lambda run: run.scale)) for runs in nets]
    return Described(session.data, tuple(by_scale), over_scales)


def _require_same_scales(models: Sequence[Model], request: Request) -> None:
    (protocol,) = request.chosen_protocols
    each = {model.identity.name: request.scales_of(protocol, model.identity.train_scale) for model in models}
    for name, scales in each.items():
        first, others = next(iter(each.items()))
        if scales != others:
            raise UsageError(
                f"{first} would be taken at Q={', '.join(map(str, others))} and {name} at "
                f"Q={', '.join(map(str, scales))}: expected the same Qs of all nets. Name them: --scales 256 384 512."
            )
