"""Figures that must hold, by small runs of the bench: causes found again, identity over vendors, few cards."""

from __future__ import annotations

from tests.bench import attention


async def test_one_problem_told_by_six_vendors_is_one_issue() -> None:
    figures = await attention.identity(90, seed=3)
    assert figures["findings with a known problem"] == figures["findings"]
    assert figures["pairs"] > 500
    assert figures["f1"] >= 0.98


async def test_planted_causes_are_found_again() -> None:
    figures = await attention.causes(1500, seed=3)
    assert figures["planted causes"] > 50
    assert figures["f1"] >= 0.95
    lossy = await attention.causes(1500, seed=3, share=0.02)
    assert 0.95 <= lossy["f1"] < 1.0  # what lost its tag is apart: the measure sees it


async def test_cards_do_not_flood_and_no_p1_is_hidden() -> None:
    figures = await attention.cards(1500, seed=3)
    assert figures["P1 causes"] > 0
    assert figures["P1 causes without a card"] == 0
    assert figures["findings per card"] >= 15  # the target is 20 of ten thousand; so few findings share less


def test_the_score_sees_what_is_wrongly_joined_and_wrongly_apart() -> None:
    truth = {("a", 1): "x", ("b", 1): "x", ("a", 2): "y", ("b", 2): "y"}
    assert attention.score(truth, dict.fromkeys(truth, "one"), across=True).f1 < 0.7
    assert attention.score(truth, dict.fromkeys(truth, ""), across=True).f1 == 0.0
    assert attention.score(truth, truth, across=True).f1 == 1.0
