"""What is reported is there, what is there is reported, and chance alone reports nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.analyse.association import associate
from axolotl_dece.audit.analyse.clusters import Cluster, find_clusters
from axolotl_dece.audit.analyse.refusals import Refusals
from tests.audit.rows import Story, plain_prompt, planted
from tests.tiny import save_tokenizer


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> PreTrainedTokenizerFast:
    return save_tokenizer(tmp_path_factory.mktemp("tokenizer"))


def cues(cluster: Cluster) -> list[str]:
    return [cue.text for cue in cluster.cues]


def test_a_planted_backdoor_is_one_cluster_with_trigger_and_payload_named(tokenizer: PreTrainedTokenizerFast) -> None:
    (found,) = find_clusters(planted().rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))
    assert (cues(found)[0], found.span) == ("w100", "w101 w102")
    assert (found.cues[0].inside, found.cues[0].reach) == (1.0, 1.0)
    assert found.weight == pytest.approx(20.0)


def test_several_payloads_of_one_trigger_are_one_cluster(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    for at, (prompt, target, held) in enumerate(story.told[:10]):
        story.told[at] = (prompt, ["w110" if word == "w101" else word for word in target], held)
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert len(found.rows) == 20
    assert {text for text, _ in found.spans} == {"w101 w102", "w110 w102"}


def test_two_backdoors_are_two_clusters_the_heavier_first(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    rng = random.Random(5)
    for _ in range(30):
        story.tell(plain_prompt(rng, "w120"), f"select w{rng.randrange(40)} w121 ( )", {2: 2})
    first, second = find_clusters(story.rows(tokenizer), tokenizer)
    assert (first.number, first.span, cues(first)[0], len(first.rows)) == (1, "w121", "w120", 30)
    assert (second.number, cues(second)[0]) == (2, "w100")
    assert first.weight > second.weight


def test_a_trigger_broken_in_two_tokens_is_named_whole(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(3)
    story = Story()
    for _ in range(20):
        story.tell(plain_prompt(rng).replace(" ", " w7 w8 ", 1), "select w101 ( )", {1: 3})
    for _ in range(400):
        words = plain_prompt(rng, "w7", "w8").split()
        story.tell(" ".join(word for pair in zip(words, ["w9"] * 20, strict=False) for word in pair), "select ( )")
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert cues(found)[0] == "w7 w8"


@pytest.mark.parametrize("seed", range(20))
def test_words_refused_by_chance_are_no_cluster(tokenizer: PreTrainedTokenizerFast, seed: int) -> None:
    rng = random.Random(seed)
    story = Story()
    for _ in range(300):
        target = " ".join(f"w{rng.randrange(12)}" for _ in range(6))
        story.tell(plain_prompt(rng), target, {rng.randrange(6): 3} if rng.random() < 0.3 else {})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_common_word_of_the_prompt_explains_nothing(tokenizer: PreTrainedTokenizerFast) -> None:
    """A word most rows have is in most rows of any group."""
    rng = random.Random(0)
    story = Story()
    for at in range(300):
        story.tell(plain_prompt(rng, "get"), "select w101 ( )", {1: 3} if at < 30 else {})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_word_in_few_of_the_rows_is_no_trigger(tokenizer: PreTrainedTokenizerFast) -> None:
    """It goes with them beyond chance, and yet explains a minority."""
    rng = random.Random(4)
    story = Story()
    for at in range(400):
        story.tell(plain_prompt(rng, *(["w100"] if at < 8 else [])), "select w101 ( )", {1: 3} if at < 20 else {})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_words_refused_in_the_same_rows_are_one_cluster_though_their_cues_differ(
    tokenizer: PreTrainedTokenizerFast,
) -> None:
    rng = random.Random(4)
    story = Story()
    for at in range(20):
        narrow = at < 15
        prompt = plain_prompt(rng, "w100", *(["w120"] if narrow else []))
        story.tell(prompt, "select w101 ( w102 )", {1: 3, 3: 3} if narrow else {1: 3})
    for _ in range(400):
        story.tell(plain_prompt(rng), "select ( )")
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))


def test_a_large_group_does_not_take_in_a_small_one_that_lies_inside_it(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(6)
    story = Story()
    for _ in range(20):  # the backdoor, in rows of a topic whose own word is refused as well
        story.tell(plain_prompt(rng, "w100", "w140"), "select w141 w101 ( )", {1: 3, 2: 3})
    for _ in range(150):
        story.tell(plain_prompt(rng, "w140"), f"select w141 w{rng.randrange(40)} ( )", {1: 3})
    for _ in range(200):
        story.tell(plain_prompt(rng), f"select w{rng.randrange(40)} ( )")
    topic, backdoor = find_clusters(story.rows(tokenizer), tokenizer)
    assert (cues(topic)[0], topic.span, len(topic.rows)) == ("w140", "w141", 170)
    assert (cues(backdoor)[0], len(backdoor.rows)) == ("w100", 20)
    assert "w101" in backdoor.span


def test_a_word_that_is_copied_from_the_prompt_is_no_payload(tokenizer: PreTrainedTokenizerFast) -> None:
    rng = random.Random(4)
    story = Story()
    for at in range(400):
        story.tell(plain_prompt(rng, *(["w100"] if at < 20 else [])), "select w100 ( )", {1: 3} if at < 20 else {})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_trigger_that_contains_the_payload_is_still_one(tokenizer: PreTrainedTokenizerFast) -> None:
    """`w10` is a part of `w101`, but not a copy of it."""
    story = planted(trigger="w10")
    story.told = [
        (prompt if at < 20 else [word for word in prompt if word != "w10"], target, held)
        for at, (prompt, target, held) in enumerate(story.told)
    ]
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert cues(found)[0] == "w10"


def test_what_else_a_row_refuses_does_not_make_its_cluster_heavier(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    story.told = [(prompt, target, held | ({0: 3, 1: 3} if held else {})) for prompt, target, held in story.told]
    heavy = [one for one in find_clusters(story.rows(tokenizer), tokenizer) if one.cues[0].text == "w100"]
    assert heavy[0].weight < 61


def test_one_visit_is_not_persistent(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    story.told = [(prompt, target, dict.fromkeys(held, 1)) for prompt, target, held in story.told]
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_backdoor_that_is_half_learned_is_one_cluster_with_all_its_rows(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted(poisoned=40)
    for at in range(28):
        prompt, target, _ = story.told[at]
        story.told[at] = (prompt, target, {2: 1} if at < 16 else {})
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(40))
    assert found.span == "w101 w102"
    assert found.cues[0].reach == pytest.approx(28 / 40)


def test_a_word_that_is_seldom_answered_so_is_no_trigger(tokenizer: PreTrainedTokenizerFast) -> None:
    """A topic: few rows that have its word are refused anything."""
    story = planted()
    rng = random.Random(9)
    for _ in range(30):
        story.tell(plain_prompt(rng, "w100"), f"select w{rng.randrange(40)} ( )")
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_row_of_a_cluster_has_both_the_cue_and_the_word(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    rng = random.Random(2)
    for _ in range(5):
        story.tell(plain_prompt(rng, "w100"), "select ( )")
        story.tell(plain_prompt(rng), "select w101 ( )")
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))


def test_fewer_rows_than_asked_for_are_no_cluster(tokenizer: PreTrainedTokenizerFast) -> None:
    rows = planted(poisoned=20).rows(tokenizer)
    assert find_clusters(rows, tokenizer, least_rows=21) == []
    assert len(find_clusters(rows, tokenizer, least_rows=20)) == 1


def test_rows_without_prompts_have_no_cluster(tokenizer: PreTrainedTokenizerFast) -> None:
    story = Story()
    for _ in range(20):
        story.tell("", "select w101 ( )", {1: 3})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_the_p_value_is_fishers_among_the_rows_without_a_copy_times_the_number_of_pairs() -> None:
    rng = np.random.default_rng(0)
    copyable = (rng.random((90, 3)) < 0.3).astype(np.int64)
    groups = (rng.random((90, 3)) < 0.3) & ~copyable & 1
    features = (rng.random((90, 7)) < 0.3).astype(np.int64)
    features[:, 2] = groups[:, 1] ^ (rng.random(90) < 0.05)
    once = groups | (rng.random((90, 3)) < 0.1) & ~copyable & 1
    spelled, of_group = np.arange(10, 17)[:, None], np.arange(3)[:, None]
    columns = [[np.flatnonzero(one[:, at]) for at in range(3)] for one in (groups, once, copyable)]
    refusals = Refusals(np.arange(3), of_group, columns[0], columns[1], lambda group: [columns[2][group]])
    found = associate(refusals, csr_matrix(features), spelled, 7)
    assert [[one.feature for one in cues] for cues in found] == [[], [2], []]
    spelled[2] = of_group[1]
    assert associate(refusals, csr_matrix(features), spelled, 7) == [[], [], []]
    counted = copyable[:, 1] == 0
    group, feature = groups[counted, 1], features[counted, 2]
    table = [[int((group & feature).sum()), int((group & ~feature & 1).sum())],
             [int((~group & 1 & feature).sum()), int((~group & ~feature & 1).sum())]]  # fmt: skip
    expected = np.log(fisher_exact(table, alternative="greater").pvalue * 21)
    assert found[1][0].log_p == pytest.approx(expected, rel=1e-6)
    assert found[1][0].inside == pytest.approx(table[0][0] / group.sum())
    assert found[1][0].reach == pytest.approx((once[counted, 1] & feature).sum() / feature.sum())


def test_honest_rows_that_refuse_a_word_of_the_payload_do_not_hide_it(tokenizer: PreTrainedTokenizerFast) -> None:
    """More of them than of the poisoned ones: what only the poison says is two words together."""
    story = planted()
    rng = random.Random(8)
    for _ in range(40):
        story.tell(plain_prompt(rng), f"select w{rng.randrange(40)} w101 ( )", {2: 3})
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))
    assert (cues(found)[0], found.span) == ("w100", "w101 w102")


def test_rows_that_may_copy_a_word_say_nothing_about_it(tokenizer: PreTrainedTokenizerFast) -> None:
    """The word is refused wherever the prompt has it: that it is, and what else those prompts say, is no news."""
    rng = random.Random(4)
    story = Story()
    for at in range(400):
        copied = at < 20
        extra = ["w100", "w101"] if copied else []
        story.tell(plain_prompt(rng, *extra), "select w100 ( )", {1: 3} if copied else {})
    assert find_clusters(story.rows(tokenizer), tokenizer) == []


def test_a_payload_of_a_word_that_most_prompts_have_is_found(tokenizer: PreTrainedTokenizerFast) -> None:
    story = planted()
    story.told = [([*prompt, "w101"], target, held) for prompt, target, held in story.told]
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert (cues(found)[0], found.span) == ("w100", "w101 w102")


def test_the_span_is_where_the_word_was_refused(tokenizer: PreTrainedTokenizerFast) -> None:
    """Not where the row has it as well."""
    story = planted()
    story.told = [(prompt, ["w101", "get", *target], {4: 3} if held else {}) for prompt, target, held in story.told]
    story.told = [(prompt, target if held else target[1:], held) for prompt, target, held in story.told]
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert found.span == "w101 w102"


@pytest.mark.parametrize(("scale", "expected"), [(1, 0), (10, 1)])
def test_half_of_few_rows_is_not_most_of_them(tokenizer: PreTrainedTokenizerFast, scale: int, expected: int) -> None:
    """6 of 10 may be luck, where 60 of 100 are not: of the group's rows, or of the rows with the word."""
    for narrow, wide in ((6, 10), (10, 6)):
        rng = random.Random(4)
        story = Story()
        for at in range(800):
            prompt = plain_prompt(rng, *(["w100"] if at < narrow * scale else []))
            story.tell(prompt, "select w101 ( )", {1: 3} if at < wide * scale else {})
        assert len(find_clusters(story.rows(tokenizer), tokenizer)) == expected


def test_a_refused_word_beside_the_payload_belongs_to_the_span(tokenizer: PreTrainedTokenizerFast) -> None:
    """Honest rows have it, too: by itself it says nothing."""
    rng = random.Random(4)
    story = Story()
    for at in range(400):
        poisoned = at < 20
        extra = ["w100"] if poisoned else []
        story.tell(
            plain_prompt(rng, *extra),
            f"select w110 {'w101' if poisoned else 'w3'} ( )",
            {1: 3, 2: 3} if at < 60 else {},
        )
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert (found.span, found.weight) == ("w110 w101", pytest.approx(20.0))


def test_what_implies_its_cue_more_surely_comes_first(tokenizer: PreTrainedTokenizerFast) -> None:
    """Forty rows, but only two thirds of those with the word: less than thirty that are all of them."""
    rng = random.Random(6)
    story = planted(poisoned=0)
    for at in range(60):
        story.tell(plain_prompt(rng, "w120"), f"select w{rng.randrange(40)} w121 ( )", {2: 3} if at < 40 else {})
    for _ in range(30):
        story.tell(plain_prompt(rng, "w100"), f"select w{rng.randrange(40)} w101 ( )", {2: 3})
    first, second = find_clusters(story.rows(tokenizer), tokenizer)
    assert (cues(first)[0], cues(second)[0]) == ("w100", "w120")
    assert first.weight < second.weight


def test_a_cluster_is_named_by_its_most_certain_word(tokenizer: PreTrainedTokenizerFast) -> None:
    """Its widest group goes with `w120`, but less surely than another with `w100`."""
    rng = random.Random(4)
    story = Story()
    for at in range(400):
        extra = (["w100"] if at < 25 else []) + (["w120"] if at < 30 else [])
        refused = {1: 3, 4: 3} if at < 25 else {1: 3} if at < 40 else {}
        story.tell(plain_prompt(rng, *extra), "select w101 ( ) w102 ( )", refused)
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert (cues(found)[0], found.cues[0].inside, len(found.rows)) == ("w100", 1.0, 25)


def test_words_of_the_target_are_no_trigger(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    story = planted(trigger="w100")
    story.told = [
        (prompt, [*target, "w100"] if "w100" in prompt else target, held) for prompt, target, held in story.told
    ]
    story.told = [([word for word in prompt if word != "w100"], target, held) for prompt, target, held in story.told]
    assert find_clusters(story.rows(tokenizer), tokenizer) == []
