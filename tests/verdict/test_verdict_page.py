"""The page of a verdict, as a document."""

from __future__ import annotations

import re
from html.parser import HTMLParser

import pytest
from test_verdict_report import WORLDS, assert_golden, shipping
from verdict_worlds import DAY, LEGACY, MANAGED, P95, START, World, block

from dispatcher.audit.record import Origin
from dispatcher.verdict.report.document import as_document
from dispatcher.verdict.report.page.element import as_html, element
from dispatcher.verdict.report.page.page import as_page
from dispatcher.verdict.report.page.plot import Point, across
from dispatcher.verdict.report.page.scale import Scale, round_marks


class _Text(HTMLParser):
    """What is to be read on a page, and what it would load."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.loads: list[str] = []
        self._silent = 0
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self._silent += tag == "style"
        self.loads += [tag] if tag in {"script", "link", "img", "iframe"} else []
        self.loads += [
            f"{tag} {name}" for name, value in attrs if name in {"src", "href"} and value and value[0] != "#"
        ]
        self.loads += [f"{tag} {name}" for name, _ in attrs if name.startswith("on")]

    def handle_endtag(self, tag: str) -> None:
        self._silent -= tag == "style"

    def handle_data(self, data: str) -> None:
        if not self._silent:
            self.words.append(data)

    @property
    def read(self) -> str:
        return re.sub(r"\s+", " ", " ".join(self.words))


def without_sql(page: str) -> str:
    """The statements are the business of the measurement's tests; a line for each element is easier to compare."""
    page = re.sub(r"<pre>.*?</pre>", "<pre>…</pre>", page, flags=re.DOTALL)
    page = re.sub(r"<style>.*?</style>", "<style>…</style>", page, flags=re.DOTALL)
    return re.sub(r"(?<!^)<(?=[a-z])", "\n<", page)


@pytest.mark.parametrize("name", ["ship", "simulated-hold"])
def test_the_page_is_as_it_was_looked_at_and_agreed(world: World, name: str) -> None:
    assert_golden(f"verdict-{name}.html", without_sql(as_page(WORLDS[name](world))))


def test_the_same_rows_and_the_same_moment_give_the_same_page(world: World) -> None:
    verdict = shipping(world)

    assert as_page(world.judged(block(), verdict.as_of)) == as_page(verdict)


@pytest.mark.parametrize("name", WORLDS)
def test_a_page_loads_nothing_and_runs_nothing(world: World, name: str) -> None:
    page = as_page(WORLDS[name](world))

    assert _Text(page).loads == []
    assert "url(" not in page
    assert "@import" not in page


@pytest.mark.parametrize("name", WORLDS)
def test_a_page_says_what_the_json_says(world: World, name: str) -> None:
    verdict = WORLDS[name](world)
    read, document = _Text(as_page(verdict)).read, as_document(verdict)

    assert document["verdict"] in read
    for reason in document["reasons"]:
        assert reason in read
    for finding in document["findings"]:
        assert f"{finding['id']}: {finding['finding']}" in read
        assert f"{finding['says']}." in read
        assert re.sub(r"\s+", " ", finding["sql"]).strip() in read
    for arm, reasons in document["excluded"].items():
        for reason, count in reasons.items():
            assert f"{arm} {count} {reason}" in read


def test_rows_that_are_not_production_are_named_beside_the_verdict(world: World) -> None:
    page = as_page(WORLDS["simulated-hold"](world))

    assert "<strong>HOLD</strong><span>, on SIMULATED rows</span>" in page
    assert "HOLD, on SIMULATED rows</title>" in page


def test_what_a_record_says_is_text_and_never_markup(world: World) -> None:
    hostile = block(P95 | {"says": P95["says"] + ' & <script>alert("1")</script>'})
    page = as_page(world.judged(hostile, START))

    assert "<script" not in page
    assert '& <script>alert("1")</script>' in _Text(page).read


def test_a_log_without_rows_has_a_page(world: World) -> None:
    world.register(block())

    assert "no_data" in _Text(as_page(world.judged(block(), START + 8 * DAY))).read


def test_every_tenant_is_shown_and_the_hundredth_is_counted(world: World) -> None:
    tenants = {f"tenant-{number:03}": 0.01 for number in range(100)}
    acceptance = block(tenants=tenants)
    world.register(acceptance)
    for number, tenant in enumerate(tenants, start=1):
        world.rows(number % 3 + 1, MANAGED, tenant=tenant)
    read = _Text(as_page(world.judged(acceptance, START + 8 * DAY))).read

    assert len(re.findall(r"tenant-\d{3} \d dispatch", read)) == 40
    assert "And 60 tenants more." in read


def test_an_element_escapes_its_texts_and_attributes_and_keeps_their_order() -> None:
    node = element("p", "1 < 2", element("b", "&"), "after", class_="a", data_x=None, stroke_width=1.25)

    assert as_html(node) == '<!DOCTYPE html>\n<p class="a" stroke-width="1.2">1 &lt; 2<b>&amp;</b>after</p>\n'


@pytest.mark.parametrize(("value", "text"), [(0.04, "0"), (-0.04, "0"), (-0.06, "-0.1"), (12.0, "12"), (-3.25, "-3.2")])
def test_coordinates_are_written_to_a_tenth(value: float, text: str) -> None:
    assert element("p", x=value).get("x") == text


def test_a_value_beyond_a_scale_is_put_on_its_end() -> None:
    scale = Scale(0, 10, 100, 200)

    assert [scale(value) for value in (-1, 0, 5, 10, 11)] == [100, 100, 150, 200, 200]


@pytest.mark.parametrize(
    ("low", "high", "marks"),
    [(0, 1, [0, 0.5, 1.0]), (0, 55, [0, 20, 40]), (-0.03, 0.03, [-0.02, 0, 0.02]), (3, 4, [3, 3.5, 4])],
)
def test_marks_are_at_round_values(low: float, high: float, marks: list[float]) -> None:
    assert round_marks(low, high) == pytest.approx(marks)


def test_simulated_rows_never_look_like_production(world: World) -> None:
    world.register(block(), origin=Origin.SIMULATED)

    assert "not of production" in _Text(as_page(world.judged(block(), START + DAY, Origin.SIMULATED))).read


def test_evidence_that_is_cut_off_says_where(world: World) -> None:
    assert "Beyond 10⁶ it is drawn there." in as_page(WORLDS["rollback"](world))


def test_evidence_that_is_drawn_whole_says_nothing_of_it(world: World) -> None:
    assert "it is drawn there" not in as_page(shipping(world))


@pytest.mark.parametrize(
    ("curve", "anchor"),
    [([(60.0, 200.0), (420.0, 90.0)], "start"), ([(60.0, 90.0), (70.0, 20.0), (420.0, 20.0)], "end"), ([], "end")],
    ids=["rises to the right end", "is past it on the left", "none"],
)
def test_words_on_a_line_stand_where_no_curve_runs_through_them(curve: list[Point], anchor: str) -> None:
    _, words = across(100, "needed", "a pass needs 32.9", clear_of=[curve])

    assert words.get("text-anchor") == anchor


def test_the_legend_has_the_figures_that_count_and_a_preview_is_called_one(world: World) -> None:
    world.register(block(P95))
    world.rows(100)
    world.rows(60, LEGACY)
    world.rows(50, ms=50_000, at=START + 8 * DAY)
    read = _Text(as_page(world.judged(block(P95), START + 9 * DAY))).read

    assert f"{MANAGED} 20 000 ms" in read.partition("counted")[0]
    assert f"preview, no evidence {MANAGED} p95 50 000 ms" in read


def test_a_preview_of_hardly_more_than_was_counted_is_left_out(world: World) -> None:
    assert "preview" not in as_page(shipping(world))


def test_the_alarm_of_the_only_tenant_is_that_of_the_criterion(world: World) -> None:
    verdict = WORLDS["rollback"](world)

    assert verdict.findings[1].tenants == ("script",)
    assert 'class="alarm"' not in as_page(verdict)
