from gco_stream.engine.budget import DeletionBudget


def test_the_budget_is_five_or_a_tenth_of_what_is_known() -> None:
    assert DeletionBudget(None).left("a", 10, 0) == 5
    assert DeletionBudget(None).left("a", 200, 0) == 20
    assert DeletionBudget(0).left("a", 200, 0) == 0


def test_a_reserved_endpoint_may_be_finished_but_no_further_one_begun() -> None:
    budget = DeletionBudget(1)
    budget.reserve("a", 0)
    assert budget.left("a", 10, 1) == 1
    assert budget.left("b", 10, 1) == 0


def test_an_hour_later_the_budget_is_whole_again() -> None:
    budget = DeletionBudget(1)
    budget.reserve("a", 0)
    assert budget.left("b", 10, 3599) == 0
    assert budget.left("b", 10, 3600) == 1
