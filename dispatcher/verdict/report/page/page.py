"""The page of a verdict, put together."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import resources
from xml.etree.ElementTree import Element

from dispatcher.adr.criterion import Criterion
from dispatcher.verdict.judgement.finding import Figures, Finding, State
from dispatcher.verdict.judgement.judge import Verdict
from dispatcher.verdict.measures import counts_exceedances
from dispatcher.verdict.report import sentences
from dispatcher.verdict.report.amounts import in_unit
from dispatcher.verdict.report.document import PERCENTILES, qualification_of, statements_of, title_of
from dispatcher.verdict.report.page.distribution_plot import distribution_plot
from dispatcher.verdict.report.page.element import Child, as_html, element
from dispatcher.verdict.report.page.evidence_plot import cut_at, evidence_plot
from dispatcher.verdict.report.page.gauge import gauge, shown
from dispatcher.verdict.report.page.tenants import tenant_strip
from dispatcher.verdict.report.wording import REASONS

_POLICY = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'"
_SIGNS = {State.PASS: "✓", State.FAIL: "✗", State.INCONCLUSIVE: "…", State.INVALID: "!"}


def as_page(verdict: Verdict) -> str:
    """The verdict as HTML: everything in one file, no script, nothing loaded, light or dark as its reader has it."""
    style = resources.files("dispatcher.verdict.report.page").joinpath("page.css").read_text(encoding="utf-8")
    head = element(
        "head",
        element("meta", charset="utf-8"),
        element("meta", name="viewport", content="width=device-width, initial-scale=1"),
        element("meta", name="color-scheme", content="light dark"),
        element("meta", http_equiv="Content-Security-Policy", content=_POLICY),
        element("title", title_of(verdict)),
        element("style", style),
    )
    main = element("main", _header(verdict), *_cards(verdict), *_rest(verdict))
    return as_html(element("html", head, element("body", main), lang="en"))


def _cards(verdict: Verdict) -> Iterator[Element]:
    for finding in verdict.findings:
        yield _card(finding, verdict)


def _header(verdict: Verdict) -> Element:
    outcome = verdict.outcome.value
    reasons = [
        element("li", element("code", reason.value), ": ", *_with_code(f"{REASONS[reason]}."))
        for reason in verdict.reasons
    ]
    chips = [
        element(
            "a",
            element("b", _SIGNS[finding.state], aria_hidden="true"),
            f" {finding.criterion.id} ",
            element("span", finding.state.value, class_="quiet"),
            href=f"#{finding.criterion.id}",
            class_=f"chip {finding.state.value}",
        )
        for finding in verdict.findings
    ]
    return element(
        "header",
        element("p", f"{verdict.record.id} · {', '.join(verdict.block.tenants)}", class_="quiet"),
        element("h1", verdict.record.title),
        element(
            "p",
            element("strong", outcome),
            element("span", qualification_of(verdict)),
            class_=f"verdict {outcome.lower()}",
        ),
        element("p", *_with_code(sentences.DECISIONS[verdict.outcome]), class_="decision"),
        *([element("ul", *reasons, class_="reasons")] if reasons else []),
        element("nav", *chips, aria_label="criteria"),
        *(element("p", sentence, class_="quiet") for sentence in sentences.where_it_stands(verdict)),
    )


def _with_code(words: str) -> list[Child]:
    """Words with what stands in backticks as code."""
    pieces = words.split("`")
    return [element("code", piece) if number % 2 else piece for number, piece in enumerate(pieces)]


def _card(finding: Finding, verdict: Verdict) -> Element:
    criterion = finding.criterion
    facts: list[Element] = []
    for label, text in sentences.points(finding, verdict):
        facts += [element("dt", label or "note"), element("dd", *_with_code(text))]
    beside = gauge(finding)
    plots = [
        element("figure", drawn, element("figcaption", words))
        for drawn, words in (
            (evidence_plot(finding), _evidence_caption(finding)),
            (
                distribution_plot(finding, verdict),
                "Share of the dispatches that stay at or below a value; a failure never does.",
            ),
        )
        if drawn is not None
    ]
    return element(
        "section",
        element(
            "h2",
            element("span", _SIGNS[finding.state], class_="sign", aria_hidden="true"),
            f" {criterion.id}: {sentences.found(finding)} ",
            element("span", criterion.severity.value, class_="severity"),
        ),
        element("p", f"{criterion.says}.", class_="says"),
        _legend(finding, verdict),
        *([element("figure", beside, class_="gauge")] if beside is not None else []),
        element("div", *plots, class_="plots"),
        element("dl", *facts),
        id=criterion.id,
        class_=f"card {finding.state.value}",
    )


def _evidence_caption(finding: Finding) -> str:
    if not counts_exceedances(finding.criterion):
        return "The difference to the limit and its confidence sequence: all of it below 0 is a pass."
    cut = cut_at(finding)
    beyond = f" Beyond {cut} it is drawn there." if cut is not None else ""
    return f"Evidence for the claim, and against it (dashed), at each look; the line is 1/α.{beyond}"


def _legend(finding: Finding, verdict: Verdict) -> Element:
    """Which colour is what, with the numbers that the gauge shows as places."""
    criterion = finding.criterion
    entries = [(arm.value, name, _told(criterion, shown(finding)[arm])) for arm, name in verdict.names.items()]
    entries.append(("limit", "limit", None if finding.limit is None else in_unit(criterion, finding.limit)))
    return element(
        "ul",
        *(
            element("li", element("span", class_=f"key {key}"), f" {name} ", element("b", told))
            for key, name, told in entries
            if told is not None
        ),
        class_="legend",
    )


def _told(criterion: Criterion, figures: Figures) -> str | None:
    """An arm's figure; a percentile that lies among the failures has no value, and is shown all the same."""
    if figures.figure is not None:
        return in_unit(criterion, figures.figure)
    return "beyond every value" if figures.n and criterion.quantile is not None else None


def _rest(verdict: Verdict) -> Iterator[Element]:
    strip = tenant_strip(verdict)
    if strip is not None:
        yield element("section", element("h2", "Tenants"), strip, class_="card")
    yield element("section", element("h2", "Left out"), _left_out(verdict), class_="card")
    yield element("section", element("h2", "The statements"), *_statements(verdict), class_="card", id="sql")
    yield element("footer", element("p", f"Percentiles are {PERCENTILES}. {title_of(verdict)}.", class_="quiet"))


def _left_out(verdict: Verdict) -> Element:
    rows = [
        element(
            "tr",
            element("td", arm),
            element("td", str(count), class_="number"),
            element("td", element("code", reason)),
            element("td", meaning),
        )
        for arm, reason, count, meaning in sentences.left_out(verdict)
    ]
    if not rows:
        return element("p", "Nobody.")
    head = element("tr", *(element("th", words, scope="col") for words in ("arm", "dispatches", "reason", "they were")))
    table = element("table", element("thead", head), element("tbody", *rows), class_="left-out")
    return element("div", table, class_="scroll")


def _statements(verdict: Verdict) -> Iterator[Element]:
    for words, sql in statements_of(verdict.measurement):
        yield element("details", element("summary", f"SQL of the {words}"), element("pre", element("code", sql)))
