from PIL import Image

from rayred.report.figures.drawn import Drawn
from rayred.report.page import write_page
from rayred.search.results import Candidate, Found
from rayred.selection.overlap import Overlap, Spread
from rayred.verdict import Cell, Verdict


def test_page_stands_by_itself_and_names_what_a_reader_should_know(tmp_path):
    Image.new("RGB", (2, 2)).save(tmp_path / "a.png")
    cells = (Cell("full", 1.0, 10, 2, 0, 90.0, 0.5, (89.0, 91.0)), Cell("random", 0.5, 5, 0, 2))
    lost = {"most_lost_class": "dog", "most_lost": -4.5}
    cells += (Cell("semantic", 0.5, 5, 1, 0, worst_class="cat", worst_class_accuracy=78, **lost),)
    verdict = Verdict(0.25, "Nothing is <redundant>.", None, cells)
    page = tmp_path / "report.html"
    figures = [Drawn("a", "A title.", "A caption.", tmp_path / "a.png")]
    candidates = (
        Candidate("search-a", {"train.lr": 0.1}, "finished", 0.9, 1.0),
        Candidate("search-b", {"train.lr": 9.0}, "failed", reason="the loss is not finite"),
    )
    found = Found({"train.lr": 0.1}, 0.9, 1.0, {"train.lr": [0.1, 9.0]}, candidates)
    notes = ["cat/0.png left out"]
    write_page(page, "pets", {"margin": "0.25"}, verdict, figures, notes, found, "x: 1")
    text = page.read_text()
    assert "A caption." in text
    assert "Nothing is &lt;redundant&gt;." in text
    assert "cat/0.png left out" in text
    assert "data:image/png;base64," in text
    assert "0 (2 failed)" in text
    assert 'src="http' not in text
    assert "Settings found: train.lr 0.1 (best of 2 candidates" in text
    assert "the loss is not finite" in text
    assert "78.00 (cat)" in text
    assert "-4.50 (dog)" in text
    assert "How stable the choice is" not in text


def test_page_says_how_alike_several_references_choose(tmp_path):
    verdict = Verdict(0.25, "Nothing.", None, (Cell("full", 1.0, 10, 2, 0),))
    jaccard, rand = Spread(0.6124, 0.5, 0.75), Spread(0.3333, 0.25, 0.4375)
    overlaps = [Overlap(0.9, jaccard, 0.8182, rand)]
    write_page(tmp_path / "report.html", "pets", {}, verdict, [], [], None, "", overlaps)
    text = (tmp_path / "report.html").read_text()
    for shown in ("How stable the choice is", "0.612", "0.500 … 0.750", "0.818", "0.250 … 0.438"):
        assert shown in text
