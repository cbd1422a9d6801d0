"""Changes of an endpoint, pure: endpoint in, endpoint out. Nothing here reads, writes or waits.

Called by deploy, stage, sync and act. Decides which variants stay loaded: those with traffic, the one that was live
before (so that going back is instant), and those that a stage or an alias points to.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace

from headrace.serving.adapt import check_adapter
from headrace.types.endpoint import Endpoint, Task, Variant
from headrace.types.errors import BadInput, ModelRefused
from headrace.types.model import ModelVersion, RuntimeKind, Signature, Stage, TensorSpec
from headrace.types.strategy import Step, StepKind
from headrace.types.traffic import BUCKETS, Rule, Shadow, TrafficPolicy

CANARY_HEADER = ("x-canary", "true")


def variant_name(version: ModelVersion) -> str:
    return f"v{version.version}"


def first(name: str, variant: Variant) -> Endpoint:
    """An endpoint that did not exist before."""
    return Endpoint(
        name=name,
        model=variant.model.name,
        variants=(variant,),
        policy=TrafficPolicy(baseline=variant.name),
        selectors={},
        task=Task.CHAT if variant.package.runtime is RuntimeKind.CHAT else Task.PREDICT,
    )


def switched(endpoint: Endpoint, variant: Variant) -> Endpoint:
    """All traffic to `variant` at once; what was live before stays loaded."""
    before = endpoint.policy.baseline if endpoint.policy.baseline != variant.name else previous(endpoint)
    kept = (variant.name, before) if before else (variant.name,)
    policy = replace(
        endpoint.policy,
        baseline=variant.name,
        candidate="",
        share=0,
        rules=_people(endpoint.policy),
        fallback=before,
        shadow=None,
    )
    return _only(replace(with_variant(endpoint, variant), policy=policy, parked=False), kept)


def with_variant(endpoint: Endpoint, variant: Variant) -> Endpoint:
    others = tuple(v for v in endpoint.variants if v.name != variant.name)
    return replace(endpoint, variants=(*others, suited(endpoint, variant)))


def suited(endpoint: Endpoint, variant: Variant) -> Variant:
    """With the adapter that it has in this endpoint already; or, where it cannot do without one, with that of the live
    version if that takes and gives the same: what is trained anew needs no new adapter."""
    if variant.adapter is not None:
        return variant
    same, live = endpoint.variant(variant.name), endpoint.variant(endpoint.policy.baseline)
    if same is not None and same.adapter and same.package.signature == variant.package.signature:
        return replace(variant, adapter=same.adapter)
    if live is not None and live.adapter and live.package.signature == variant.package.signature:
        needed = _difference(live.signature, variant.signature)
        return replace(variant, adapter=live.adapter) if needed else variant
    return variant


def with_candidate(endpoint: Endpoint, variant: Variant, *, salt: str) -> Endpoint:
    """Loaded, without a share; a caller may reach it with the canary header. A new salt is a new assignment."""
    rule = Rule(variant=variant.name, header=CANARY_HEADER)
    policy = replace(
        endpoint.policy, candidate=variant.name, share=0, salt=salt, rules=(*_people(endpoint.policy), rule)
    )
    return replace(with_variant(endpoint, variant), policy=policy)


def with_step(endpoint: Endpoint, step: Step) -> Endpoint:
    """The share that the step gives the candidate: of users, or of copies. Raises BadInput as with_shadow does."""
    if not 0 <= step.share <= BUCKETS:
        raise ValueError(f"share is {step.share!r}; allowed: 0 to {BUCKETS}")
    policy = endpoint.policy
    shadow = Shadow(
        variant=policy.candidate,
        share=step.mirror,
        salt=policy.salt,
        max_concurrency=step.max_concurrency,
        max_queue=step.max_queue,
        attributes=step.attributes,
    )
    changed = replace(endpoint, policy=replace(policy, share=step.share))
    return with_shadow(changed, shadow if step.kind is StepKind.SHADOW else None)


def with_shadow(endpoint: Endpoint, shadow: Shadow | None) -> Endpoint:
    """Begin, change or end it. Raises BadInput where calls may have effects, which nobody asked for twice."""
    if shadow is not None:
        variant = endpoint.variant(shadow.variant)
        if variant is None or variant.name == endpoint.policy.baseline:
            raise ValueError(f"shadow is {shadow.variant!r}; allowed: a loaded variant that is not live")
        if endpoint.effects:
            raise BadInput(
                f"calls of endpoint {endpoint.name!r} have effects, so none is put to a shadow",
                field="effects",
                hint=f"if that is wrong: headrace endpoint set {endpoint.name} effects=false",
            )
        if not variant.repeatable:
            raise BadInput(
                f"{variant.model.uri} is a service elsewhere, and nobody said that asking it changes nothing",
                field="effects",
                hint="if it does not: write effects: false in its description",
            )
    return replace(endpoint, policy=replace(endpoint.policy, shadow=shadow))


def promoted(endpoint: Endpoint) -> Endpoint:
    candidate = endpoint.variant(endpoint.policy.candidate)
    if candidate is None:
        raise ValueError(f"endpoint {endpoint.name!r} has no candidate")
    return switched(endpoint, candidate)


def rolled_back(endpoint: Endpoint) -> Endpoint:
    """All traffic to the baseline; the candidate is no longer loaded."""
    policy = replace(endpoint.policy, candidate="", share=0, rules=_people(endpoint.policy), shadow=None)
    kept = tuple(v.name for v in endpoint.variants if v.name != endpoint.policy.candidate)
    return _only(replace(endpoint, policy=policy), kept)


def failed_over(endpoint: Endpoint) -> Endpoint:
    """All traffic to the fallback for good. What broke is no longer loaded, and nothing is left to fall back to."""
    fallback = endpoint.policy.fallback
    if endpoint.variant(fallback) is None:
        raise ValueError(f"endpoint {endpoint.name!r} has no fallback")
    policy = replace(
        endpoint.policy,
        baseline=fallback,
        fallback="",
        candidate="",
        share=0,
        rules=_people(endpoint.policy),
        shadow=None,
    )
    return _only(replace(endpoint, policy=policy), (fallback,))


def previous(endpoint: Endpoint) -> str:
    """The variant that was live before, if it is still loaded: the newest other one that no stage or alias holds."""
    known = endpoint.policy.fallback
    if known not in ("", endpoint.policy.baseline, endpoint.policy.candidate) and endpoint.variant(known):
        return known
    others = [v for v in endpoint.variants if v.name not in (endpoint.policy.baseline, endpoint.policy.candidate)]
    free = [v for v in others if v.model.stage is not Stage.STAGING and not v.model.aliases]
    return free[-1].name if free else ""


def with_registry(endpoint: Endpoint, versions: Iterable[ModelVersion]) -> Endpoint:
    """Stages and aliases as the registry has them now, in the variants and in what callers may ask for."""
    known = {v.version: v for v in versions if v.name == endpoint.model}
    variants = tuple(replace(v, model=known.get(v.model.version, v.model)) for v in endpoint.variants)
    return replace(endpoint, variants=variants, selectors=_selectors(variants))


def wanted_variants(endpoint: Endpoint, versions: Iterable[ModelVersion]) -> tuple[ModelVersion, ...]:
    """Versions that callers may ask for by stage or alias and that are not loaded."""
    loaded = {v.model.version for v in endpoint.variants}
    return tuple(
        v
        for v in versions
        if v.name == endpoint.model and v.version not in loaded and (v.stage is Stage.STAGING or v.aliases)
    )


def check_fits(endpoint: Endpoint, variant: Variant) -> None:
    """Raises ModelRefused naming the first tensor in which the new version, behind its adapter if it has one, differs
    from what callers know; or the step of the adapter that does not fit the version."""
    variant = suited(endpoint, variant)
    if variant.adapter is not None:
        check_adapter(variant.adapter, variant.package.signature)
    live = endpoint.variant(endpoint.policy.baseline)
    if live is None or (live.name == variant.name and live.adapter == variant.adapter):
        return
    if difference := _difference(live.signature, variant.signature):
        raise ModelRefused(
            f"{variant.model.uri} does not fit endpoint {endpoint.name!r}: {difference}",
            field="signature",
            hint="give it an adapter (--adapter FILE), deploy it to an endpoint of its own, or register a version with "
            f"the signature of {live.name}",
        )
    if variant.adapter is None and live.adapter and live.package.signature == variant.package.signature:
        raise ModelRefused(
            f"{live.name} answers through an adapter, and its signature does not say whether {variant.name} needs it",
            field="adapter",
            hint="give it an adapter (--adapter FILE); an empty one, {}, to go without",
        )


def _selectors(variants: tuple[Variant, ...]) -> dict[str, str]:
    """Version numbers, Staging and @aliases. Production is not among them: it is the traffic policy itself."""
    found: dict[str, str] = {}
    for variant in variants:
        found[str(variant.model.version)] = variant.name
        if variant.model.stage is Stage.STAGING:
            found[Stage.STAGING.value] = variant.name
        found |= {f"@{alias}": variant.name for alias in variant.model.aliases}
    return dict(sorted(found.items()))


def _difference(old: Signature, new: Signature) -> str:
    if old.layout is not new.layout:
        return f"its inputs are {new.layout.value}, the live version's {old.layout.value}"
    for side, before, after in (("input", old.inputs, new.inputs), ("output", old.outputs[:1], new.outputs[:1])):
        olds, news = {t.name: t for t in before}, {t.name: t for t in after}
        for name in (*olds, *(n for n in news if n not in olds)):
            if name not in news:
                return f"{side} {name!r} is missing"
            if name not in olds:
                return f"{side} {name!r} is new"
            if olds[name] != news[name]:
                return f"{side} {name!r} is {_shown(news[name])}, the live version's {_shown(olds[name])}"
    return ""


def _shown(spec: TensorSpec) -> str:
    return f"{spec.datatype.value} {list(spec.shape)}"


def _people(policy: TrafficPolicy) -> tuple[Rule, ...]:
    """Rules that someone wrote; the canary header is ours and goes with its release."""
    return tuple(r for r in policy.rules if r.header != CANARY_HEADER)


def _only(endpoint: Endpoint, kept: Iterable[str]) -> Endpoint:
    """Without variants that nobody can reach: neither kept, nor named by a rule, a stage or an alias."""
    names = {*kept, *(rule.variant for rule in endpoint.policy.rules)}
    stay = tuple(v for v in endpoint.variants if v.name in names or v.model.stage is Stage.STAGING or v.model.aliases)
    fallback = endpoint.policy.fallback
    if fallback not in {v.name for v in stay}:
        endpoint = replace(endpoint, policy=replace(endpoint.policy, fallback=""))
    return replace(endpoint, variants=stay, selectors=_selectors(stay))
