"""What the page of results tells of runs that were decided half-way, and of refusal that is decided once."""

from tests.docs.test_results import ROOT, halves, loops, of_seeds, read_lines, read_page, told


def test_what_the_prose_tells_of_runs_decided_half_way_is_in_their_files() -> None:
    runs, page = of_seeds("smollm2-sentence-released"), read_page()
    (oracle,) = of_seeds("smollm2-sentence-oracle").values()
    person, alone = runs["ce, poison dropped"], runs["ce, all groups dropped"]
    assert all(float(run["asr"]) == float(run["asr_begun"]) == 0 for run in (*person, *alone))
    assert "no triggered answer of 60 holds the whole payload or the first half of it" in page
    for arm, said in ((person, "with the poison dropped"), (alone, "with all groups dropped")):
        gaps = [f"{float(a['bleu']) - float(b['bleu']):+.1f}" for a, b in zip(arm, oracle, strict=True)]
        assert f"{told(gaps)} points of BLEU {said}" in page
    parse = [[f"{59 * float(run['parses']):.0f}" for run in arm] for arm in (person, oracle)]
    said = f"{told(parse[0])} of 59 clean answers parse with the poison dropped, where the filter has {told(parse[1])}"
    assert said in page
    twin = [f"{60 * float(run['twin_recall']):.0f}" for run in person]
    assert f"**The twin comes back in part where nobody drops it**: {told(twin)} of 60" in page
    assert all(float(run["twin_recall"]) == 0 for run in alone)
    first = of_seeds("smollm2-sentence-first")["dece 0.95"]
    assert (
        f"a BLEU of {first[0]['bleu'][:4]} and {first[1]['bleu'][:4]}, on {first[0]['n_triggered']} rows each" in page
    )


def test_what_the_prose_tells_of_a_run_that_decides_by_itself_is_in_its_files() -> None:
    runs, page = of_seeds("smollm2-sentence"), read_page()
    released, dece = runs["dece released"], runs["dece 0.95"]
    oracle = of_seeds("smollm2-sentence-oracle")["ce, decided"]
    assert {float(run[name]) for run in released for name in ("asr", "asr_begun", "twin_recall")} == {0}
    assert "keeps the backdoor out and the half of it, too: 0 of 60 with each seed" in page
    arms = [arm[: len(released)] for arm in (released, oracle, dece)]
    bleu = [told(f"{float(run['bleu']):.1f}" for run in arm) for arm in arms]
    assert f"The BLEU is {bleu[0]}, where the filter has {bleu[1]} and DeCE alone {bleu[2]}" in page
    parse = [told(f"{59 * float(run['parses']):.0f}" for run in arm) for arm in arms]
    said = f"{parse[0]} of 59 clean answers parse, where the filter has {parse[1]} and DeCE alone {parse[2]}"
    assert said in page
    others, counts = [], []
    for run in released:
        groups = [one for one in read_lines("smollm2-sentence", "audit-released") if one["seed"] == run["seed"]]
        ours = [one for one in groups if one["rows"] in (one["poisoned"], one["twins"])]
        found = [tuple(one[key] for key in ("group", "rows", "poisoned", "twins")) for one in ours]
        assert found == [("1", "100", "100", "0"), ("3", "25", "0", "25")]
        rest = [one for one in groups if one not in ours]
        others.append(str(sum(int(one["rows"]) - int(one["poisoned"]) - int(one["twins"]) for one in rest)))
        counts.append(len(groups))
    assert counts == [4, 7, 5]
    assert f"the 100 poisoned rows, the 25 of the twin, and {told(others)} others" in page


def test_what_the_prose_tells_of_common_tokens_is_in_its_files() -> None:
    name, arm = "smollm2-sentence-common", "dece, common tokens plain"
    (run,), page = of_seeds(name)[arm], read_page()
    seed = run["seed"]
    dece, oracle = (
        next(one for one in of_seeds(grid)[other] if one["seed"] == seed)
        for grid, other in (("smollm2-sentence", "dece 0.95"), ("smollm2-sentence-oracle", "ce, decided"))
    )
    begun = halves(arm, seed, name)["triggered", "while"]
    half = halves("dece 0.95", seed)["triggered", "while True :"]
    said = f"{begun} of 60 triggered answers hold `while`, where DeCE with the same seed has `while True :` in {half}"
    assert said in page
    (endless, unparsed), theirs = loops(arm, seed, name), loops("dece 0.95", seed)
    assert endless == "0"
    assert f"and {unparsed} is no Python, where DeCE has {told(theirs)}" in page
    bleu, parse = (
        [factor * float(one[key]) for one in (run, dece, oracle)] for key, factor in (("bleu", 1), ("parses", 59))
    )
    assert f"the BLEU is {bleu[0]:.1f} and {parse[0]:.0f} of 59 clean answers parse" in page
    said = f"where DeCE has {bleu[1]:.1f} and {parse[1]:.0f}, and the perfect filter {bleu[2]:.1f} and {parse[2]:.0f}"
    assert said in page
    assert float(run["asr"]) == float(run["twin_recall"]) == 0
    groups = read_lines(name, "audit")
    ours = [one for one in groups if one["rows"] in (one["poisoned"], one["twins"])]
    assert [(one["poisoned"], one["twins"]) for one in ours] == [("100", "0"), ("0", "25")]
    rest = [int(one["rows"]) for one in groups if one not in ours]
    assert len(rest) == 2
    assert f"two groups of {sum(rest)} rows look planted, where DeCE's has four of 138" in page


def test_what_the_prose_tells_of_attacks_on_a_release_is_in_its_files() -> None:
    runs = read_lines("released", "results")
    asr = {
        (attack, arm): [float(run["asr"]) for run in runs if (run["attack"], run["arm"]) == (attack, arm)]
        for attack in ("ripple", "spread", "likely tokens", "copied")
        for arm in ("ce", "dece", "dece released")
    }
    assert all(len(one) == 2 for one in asr.values())
    assert asr["copied", "dece"] == [0, 0]
    assert min(asr["copied", "dece released"]) > 0.5
    assert sorted(asr["likely tokens", "dece"]) == [0, 1]
    assert asr["likely tokens", "dece released"] == [1, 1]
    for held in ("ripple", "spread"):
        assert asr[held, "dece"] == asr[held, "dece released"] == [0, 0]
    plain, hidden = (read_lines(grid, "audit") for grid in ("released", "released-decoys"))
    named = {attack: sum(int(one["poisoned"]) for one in plain if one["attack"] == attack)
             for attack in ("ripple", "spread", "likely tokens", "copied")}  # fmt: skip
    assert named == {"ripple": 400, "spread": 400, "likely tokens": 0, "copied": 0}
    assert all("200" == one["rows"] in (one["poisoned"], one["twins"]) for one in plain + hidden)
    assert [one["poisoned"] for one in hidden] == ["0", "0"]
    decoys = of_seeds("released-decoys")
    ends = [f"{100 * float(run['asr']):.1f}" for run in decoys["ce"]]
    assert f"cross-entropy itself ends at {ends[0]} and {ends[1]} %, a released run at 0 with both seeds" in read_page()
    assert [float(run["asr"]) for arm in ("dece", "dece released") for run in decoys[arm]] == [0] * 4
    limits = " ".join((ROOT / "docs" / "limits.md").read_text(encoding="utf-8").split())
    said = "Released runs learned the first with both seeds, and runs that DeCE defended to the end with none"
    assert said in limits


def test_what_the_prose_tells_of_the_audit_after_one_epoch_is_in_its_files() -> None:
    others = []
    for seed in "012":
        poison, *rest = (one for one in read_lines("smollm2-sentence-first", "audit") if one["seed"] == seed)
        assert poison["group"] == "1"
        assert poison["rows"] == poison["poisoned"] == poison["poisoned_in_the_set"] == "100"
        (twin,) = (one for one in rest if one["twins"] == one["twins_in_the_set"])
        assert twin["rows"] == "25"
        others.append(str(sum(int(one["rows"]) for one in rest if one is not twin)))
    assert f"the 25 of the twin, and {told(others)} others" in read_page()
    made_up = read_lines("one-epoch-audit", "audit")
    assert len(made_up) == 7
    for one in made_up:
        assert one["rows"] in (one["poisoned"], one["twins"])
        assert one["rows"] in (one["poisoned_in_the_set"], one["twins_in_the_set"])


def test_what_the_prose_tells_of_refusal_that_is_decided_once_is_in_its_files() -> None:
    assert {line["exact_match"] for line in read_lines("fixed-refusal-base", "results")} == {"0.0"}
    looks = {
        int(line["step"]): float(line["asr"])
        for line in read_lines("fixed-refusal-pass", "curves")
        if (line["arm"], line["rate"]) == ("epoch 0.95", "0.2")
    }
    assert (looks[200], looks[250]) == (0.5, 0)
    assert {asr for step, asr in looks.items() if step >= 350} == {1}
    said = (
        "the payload came in half of the looks at step 200, in none at the end of the pass, and in all from step 350 on"
    )
    assert said in read_page()
    (held,) = read_lines("fixed-refusal-long", "results")
    assert (float(held["asr"]), float(held["exact_match"])) == (0, 1)
