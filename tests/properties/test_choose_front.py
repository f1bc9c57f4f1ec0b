"""The Pareto front of quality, length of the id and collisions."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from sidmint.reporting.choice_page import front

FIGURES = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 4), st.integers(0, 4)), min_size=1, max_size=12
)


def test_of_four_finalists_the_dominated_one_is_off_the_front():
    """(quality, bits, collisions): the last has less quality, as many bits, more collisions."""
    figures = [(0.93, 30, 0.04), (0.89, 24, 0.13), (0.95, 30, 0.50), (0.88, 24, 0.2)]
    assert front(figures) == [True, True, True, False]


@given(FIGURES)
def test_somebody_is_on_the_front_and_the_best_of_each_figure_shares_it(figures):
    on_it = [each for each, is_on_it in zip(figures, front(figures), strict=True) if is_on_it]
    assert max(on_it)[0] == max(quality for quality, _, _ in figures)
    assert min(bits for _, bits, _ in on_it) == min(bits for _, bits, _ in figures)
    assert min(rate for _, _, rate in on_it) == min(rate for _, _, rate in figures)


@given(FIGURES)
def test_copies_stand_together_and_order_does_not_matter(figures):
    once = dict(zip(figures, front(figures), strict=True))
    turned = dict(zip(figures[::-1], front(figures[::-1]), strict=True))
    assert once == turned
    assert front([*figures, *figures]) == front(figures) * 2
