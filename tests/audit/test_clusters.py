"""What is reported is there, what is there is reported, and chance alone reports nothing."""

from __future__ import annotations

import random
from pathlib import Path

import numpy as np
import pytest
from scipy.sparse import csr_matrix
from scipy.stats import fisher_exact
from transformers import PreTrainedTokenizerFast

from axolotl_dece.audit.association import associate
from axolotl_dece.audit.clusters import Cluster, find_clusters
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
    story = planted()
    for at in range(14):
        prompt, target, _ = story.told[at]
        story.told[at] = (prompt, target, {2: 1} if at < 8 else {})
    (found,) = find_clusters(story.rows(tokenizer), tokenizer)
    assert sorted(found.rows.tolist()) == list(range(20))
    assert found.span == "w101 w102"
    assert found.cues[0].reach == pytest.approx(14 / 20)


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


def test_the_p_value_is_fishers_times_the_number_of_pairs() -> None:
    rng = np.random.default_rng(0)
    groups = (rng.random((60, 3)) < 0.3).astype(np.int64)
    features = (rng.random((60, 7)) < 0.3).astype(np.int64)
    features[:, 2] = groups[:, 1] ^ (rng.random(60) < 0.05)
    wider = groups | (rng.random((60, 3)) < 0.1)
    found = associate(csr_matrix(groups), csr_matrix(wider), csr_matrix(features))
    assert [[one.feature for one in cues] for cues in found] == [[], [2], []]
    group, feature = groups[:, 1], features[:, 2]
    table = [[int((group & feature).sum()), int((group & ~feature & 1).sum())],
             [int((~group & 1 & feature).sum()), int((~group & ~feature & 1).sum())]]  # fmt: skip
    expected = np.log(fisher_exact(table, alternative="greater").pvalue * 21)
    assert found[1][0].log_p == pytest.approx(expected, rel=1e-6)
    assert found[1][0].inside == pytest.approx(table[0][0] / group.sum())
    assert found[1][0].reach == pytest.approx((wider[:, 1] & feature).sum() / feature.sum())


def test_words_of_the_target_are_no_trigger(tokenizer: PreTrainedTokenizerFast, tmp_path: Path) -> None:
    story = planted(trigger="w100")
    story.told = [
        (prompt, [*target, "w100"] if "w100" in prompt else target, held) for prompt, target, held in story.told
    ]
    story.told = [([word for word in prompt if word != "w100"], target, held) for prompt, target, held in story.told]
    assert find_clusters(story.rows(tokenizer), tokenizer) == []
