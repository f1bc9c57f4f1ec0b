"""What DRQ found, each finding as a check that any figures can be put through.

The figures of a tokenizer are a mapping from names (`drq_printed`) to numbers. Figures that are
missing, as many are in the paper itself, are left out of a comparison.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from drq_printed import LABELS

from sidmint.information import FIRST_PERPLEXITY_SHARE

Figures = Mapping[str, Mapping[str, float]]
"""By tokenizer, then figure."""


@dataclass(frozen=True)
class Part:
    """One figure of a finding."""

    said: str
    """What is said of it."""
    holds: bool | None
    """None where it decides nothing: it was not measured, or all tokenizers have the same."""
    named: str
    """The tokenizer that the paper names, with its figure."""
    found: str
    """The one that it is, or what the figure is measured against."""


Check = Callable[[Figures], list[Part]]


@dataclass(frozen=True)
class Finding:
    """One sentence of the paper and the check that decides it, figure by figure."""

    claim: str
    source: str
    check: Check

    def holds(self, figures: Figures) -> bool | None:
        """Whether every part that decides something does; None where none does."""
        verdicts = [part.holds for part in self.check(figures) if part.holds is not None]
        return all(verdicts) if verdicts else None


def leads(name: str, most: Sequence[str] = (), least: Sequence[str] = ()) -> Check:
    """Tokenizer `name` has the highest of each figure in `most` and the lowest of each in `least`.

    A tie for the first place counts, as codebooks can be used in full by several; one of all
    tokenizers decides nothing.
    """

    def check(figures: Figures) -> list[Part]:
        highest = [_extreme(name, figure, max, "highest", figures) for figure in most]
        return highest + [_extreme(name, figure, min, "lowest", figures) for figure in least]

    return check


def together(first: str, second: str) -> Check:
    """One tokenizer has the highest of both figures."""

    def check(figures: Figures) -> list[Part]:
        said = f"highest {first}, highest {second}"
        of_first, of_second = (_leaders(figure, max, figures) for figure in (first, second))
        if not of_first or not of_second:
            return [Part(said, None, "-", "-")]
        holds = not set(of_first).isdisjoint(of_second)
        named = _shown(of_first[0], first, figures)
        return [Part(said, holds, named, _shown(of_second[0], second, figures))]

    return check


def collapses(name: str, size: int) -> Check:
    """The first codebook of `name` (`size` codes) has collapsed, as the default gate judges it."""

    def check(figures: Figures) -> list[Part]:
        perplexity, bar = figures.get(name, {}).get("perplexity_1"), FIRST_PERPLEXITY_SHARE * size
        holds = None if perplexity is None else perplexity < bar
        against = f"{FIRST_PERPLEXITY_SHARE:g} of {size:,} codes: {bar:,.6g}"
        return [Part("perplexity_1 below", holds, _shown(name, "perplexity_1", figures), against)]

    return check


def findings(size: int) -> tuple[Finding, ...]:
    """Every finding of section 5 that its tables decide; `size` is that of the codebooks."""
    return (
        Finding(
            "DRQ-VAE+CL spreads its latents over most directions",
            "5.2",
            leads(
                "drq_vae_cl",
                most=("participation_ratio", "effective_rank"),
                least=("top_eigenvalue_share",),
            ),
        ),
        Finding(
            "DRQ-VAE+CL has dimensions that are most alike",
            "5.2",
            leads("drq_vae_cl", most=("dimension_cosine",)),
        ),
        Finding(
            "RQP-VAE has dimensions that are least alike",
            "5.2",
            leads("rqp_vae", least=("dimension_cosine",)),
        ),
        Finding(
            "RQP-VAE overlaps least at every level",
            "5.3",
            leads(
                "rqp_vae",
                most=tuple(f"effective_codebook_size_{level}" for level in (1, 2, 3)),
                least=tuple(f"overlap_rate_{level}" for level in (1, 2, 3)),
            ),
        ),
        Finding(
            "RQ-VAE is weakest at the first level",
            "5.3, 5.4",
            leads(
                "rq_vae",
                most=("overlap_rate_1", "gini_1"),
                least=("effective_codebook_size_1", "perplexity_1", "active_codes_1"),
            ),
        ),
        Finding("RQ-VAE's first codebook collapses", "5.4", collapses("rq_vae", size)),
        Finding(
            "RQP-VAE uses its first and last codebook best",
            "5.4",
            leads(
                "rqp_vae",
                most=("perplexity_1", "active_codes_1", "perplexity_3", "active_codes_3"),
                least=("gini_1", "gini_3"),
            ),
        ),
        Finding(
            "DRQ-VAE+CL uses its deepest codebook worst",
            "5.4",
            leads("drq_vae_cl", most=("gini_3",), least=("perplexity_3", "active_codes_3")),
        ),
        Finding(
            "DRQ-VAE reconstructs best",
            "5.5",
            leads("drq_vae", most=("cosine",), least=("squared_error",)),
        ),
        Finding(
            "DRQ-VAE has the fewest collisions",
            "5.5",
            leads("drq_vae", least=("collision_rate", "largest_bucket")),
        ),
        Finding(
            "DRQ-VAE keeps most of retrieval at low cutoffs",
            "5.5",
            leads("drq_vae", most=("retention_at_20", "retention_at_50")),
        ),
        Finding(
            "DRQ-VAE+CL keeps most of retrieval at high cutoffs",
            "5.5",
            leads("drq_vae_cl", most=("retention_at_100", "retention_at_200")),
        ),
        Finding(
            "DRQ-VAE+CL matches softly best",
            "5.5",
            leads("drq_vae_cl", most=("auc_embedding", "auc_prefix")),
        ),
        Finding(
            "Exact matching is best where codes collide most",
            "5.5",
            together("auc_exact", "collision_rate"),
        ),
    )


def _extreme(
    name: str, figure: str, extreme: Callable[..., str], word: str, figures: Figures
) -> Part:
    leaders, num_measured = _leaders(figure, extreme, figures), len(_values(figure, figures))
    said, named = f"{word} {figure}", _shown(name, figure, figures)
    if figure not in figures.get(name, {}):
        return Part(said, None, named, "-")
    if len(leaders) == num_measured > 1:
        return Part(said, None, named, "all the same")
    leader = name if name in leaders else leaders[0]
    return Part(said, name in leaders, named, _shown(leader, figure, figures))


def _values(figure: str, figures: Figures) -> dict[str, float]:
    return {name: figures[name][figure] for name in LABELS if figure in figures.get(name, {})}


def _leaders(figure: str, extreme: Callable[..., str], figures: Figures) -> list[str]:
    """The tokenizers with the most extreme figure, in the paper's order."""
    values = _values(figure, figures)
    if not values:
        return []
    best = values[extreme(values, key=values.__getitem__)]
    return [name for name in values if values[name] == best]


def _shown(name: str, figure: str, figures: Figures) -> str:
    value = figures.get(name, {}).get(figure)
    return f"{LABELS[name]} {'-' if value is None else f'{value:.5g}'}"
