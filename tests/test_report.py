"""The report: one page that stands by itself, with a user's text escaped, and the same as JSON."""

import json
import re

import numpy as np
import pytest

import headstart as hs
from headstart.report.thresholds import best_threshold, cost_at

NASTY = "<script>alert('x')</script> & <b>bold</b>"


@pytest.fixture
def reported(tmp_path):
    words = ["one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve"]
    rows = [(f"a {word} film {number} {NASTY}", word) for word in ("good", "<bad>") for number in words]
    rows += [(f"a good film that is not {number}", "<bad>") for number in words]
    result = hs.fit(rows, backbone="wordllama", out=tmp_path / "m.headstart")
    return result, (tmp_path / "m.report.html").read_text(encoding="utf-8")


def test_the_page_asks_nothing_of_the_network_and_escapes_what_it_is_given(reported):
    _, page = reported
    assert "<script" not in page
    assert "alert(&#39;x&#39;)" in page or "alert('x')" not in page
    assert "<bad>" not in page
    addresses = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"')\s>]+)""", page)
    assert all(one.startswith(("data:", "#")) for one in addresses)


def test_the_page_is_whole_and_begins_with_the_verdict(reported):
    result, page = reported
    sentence = result.proof.sentence
    text = re.sub(r"<[^>]+>", "", page.split("</style>")[1])
    assert text.split()[:3]
    assert page.index("verdict") < page.index("The contenders")
    assert sentence[1:40].replace("&", "&amp;") in page
    assert page.rstrip().endswith("</html>")


def test_the_json_beside_it_is_what_the_command_prints(reported, tmp_path):
    result, _ = reported
    stored = json.loads((tmp_path / "m.report.json").read_text(encoding="utf-8"))
    command = stored.pop("command")
    assert stored == json.loads(json.dumps(result.as_dict()))
    assert command == f"headstart fit DATA --backbone wordllama --out {result.path}"


def test_nothing_is_reported_where_nothing_is_saved():
    rows = [(f"{word} film {n}", word) for word in ("good", "bad") for n in ["one", "two", "three", "four", "five"]]
    assert hs.fit(rows, backbone="wordllama").report is None


def test_the_best_threshold_is_the_cheapest_of_all():
    dice = np.random.default_rng(0)
    truth = dice.random(200) < 0.3
    scores = np.clip(0.3 * truth + dice.random(200) * 0.7, 0, 1)
    for ratio in (1, 5, 20):
        ours = cost_at(scores, truth, best_threshold(scores, truth, ratio), ratio)[2]
        assert ours == min(cost_at(scores, truth, cut, ratio)[2] for cut in np.linspace(0, 1, 2001))
    assert best_threshold(scores, truth, 20) < best_threshold(scores, truth, 1)
