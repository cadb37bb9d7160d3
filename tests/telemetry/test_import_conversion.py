"""A cell's text becomes a column's value exactly, or says why it can't."""

import datetime as dt
from decimal import ROUND_HALF_UP, Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dispatcher.telemetry.conversion import FACTORS, Unit, converter, refusal
from dispatcher.telemetry.target import Kind, targets

WALL = targets()["response_time_ms"]
COST = targets()["cost_nanousd"]
TOKENS = targets()["output_tokens"]
ATTEMPT = targets()["attempt"]
CREATED = targets()["created_at"]
VALID = targets()["output_valid"]
STATUS = targets()["status"]
TENANT = targets()["tenant"]

LARGEST = 2**63 - 1


@pytest.mark.parametrize("target", [WALL, COST, TOKENS])
@given(value=st.integers(0, LARGEST))
def test_what_is_written_in_the_columns_own_unit_comes_back_as_it_was(target, value):
    assert value == converter(target)(str(value))


@given(st.integers(0, LARGEST))
def test_money_written_in_dollars_is_exact_to_the_nano_dollar(nanousd):
    dollars = Decimal(nanousd).scaleb(-9)

    assert nanousd == converter(COST, unit=Unit.USD)(f"{dollars:f}")
    assert nanousd == converter(COST, unit=Unit.USD)(f"{dollars:E}")


@given(st.integers(0, LARGEST // 10**7))
def test_money_written_in_cents_is_exact(cents):
    assert cents * 10**7 == converter(COST, unit=Unit.CENTS)(str(cents))


@given(st.floats(0, 1e9))
def test_a_float_as_another_program_prints_it_is_rounded_half_up_to_the_nano_dollar(dollars):
    expected = int((Decimal(repr(dollars)) * 10**9).quantize(Decimal(1), rounding=ROUND_HALF_UP))

    assert expected == converter(COST, unit=Unit.USD)(repr(dollars))


@given(st.integers(0, LARGEST // 1000))
def test_a_duration_keeps_its_length_in_every_unit(ms):
    assert ms == converter(WALL, unit=Unit.US)(str(ms * 1000))
    assert ms == converter(WALL, unit=Unit.S)(f"{Decimal(ms).scaleb(-3):f}")


@pytest.mark.parametrize(
    ("target", "unit", "text", "expected"),
    [
        (WALL, Unit.MS, "1528.151", 1528),
        (WALL, Unit.MS, "0.5", 1),
        (WALL, Unit.S, "0.0004999", 0),
        (WALL, Unit.US, "1500", 2),
        (COST, Unit.USD, "0.10650500000000002", 106_505_000),
        (COST, Unit.USD, "0.0000000005", 1),
        (COST, Unit.NANOUSD, "2.4", 2),
        (TOKENS, None, "62939.0", 62_939),
        (TOKENS, None, "-0", 0),
        (TOKENS, None, "1e3", 1000),
    ],
)
def test_what_is_finer_than_the_column_is_rounded_half_up(target, unit, text, expected):
    assert expected == converter(target, unit=unit)(text)


@pytest.mark.parametrize(
    ("target", "text", "reason"),
    [
        (TOKENS, "12.5", "'12.5' is not a whole number"),
        (TOKENS, "-1", "'-1' is negative"),
        (TOKENS, "9223372036854775808", "more than the column can hold"),
        (ATTEMPT, "2147483648", "more than the column can hold"),
        (WALL, "-0.001", "'-0.001' is negative"),
        (WALL, "1e99", "more than the column can hold"),
        (COST, "1e-99999", "is not a number"),
        *(
            (WALL, text, "is not a number")
            for text in ("nan", "inf", "1_000", "1,5", "0x10", "٣", " 1", "1 ", "--1", ".")
        ),
    ],
)
def test_what_is_no_quantity_of_the_column_is_refused(target, text, reason):
    with pytest.raises(ValueError, match=reason):
        converter(target)(text)


@given(st.text(max_size=40) | st.from_regex(r"[-+]?[0-9.]{1,12}([eE][-+]?[0-9]{1,4})?", fullmatch=True))
def test_any_text_is_a_value_or_has_a_reason_and_never_another_error(text):
    for target in (WALL, COST, TOKENS, VALID, CREATED, STATUS, TENANT):
        reasons = refusal(converter(target), text)

        assert all(reasons)


@given(st.datetimes(timezones=st.timezones() | st.just(dt.UTC), min_value=dt.datetime(1990, 1, 1)))  # noqa: DTZ001
def test_a_moment_in_any_zone_is_the_same_moment_in_utc(moment):
    read = converter(CREATED)(moment.isoformat())

    assert (moment.astimezone(dt.UTC), dt.UTC) == (read, read.tzinfo)


def test_a_moment_without_an_offset_is_in_the_stated_zone():
    expected = dt.datetime(2026, 7, 1, 10, tzinfo=dt.UTC)

    assert expected == converter(CREATED, zone="Europe/Amsterdam")("2026-07-01T12:00:00")
    assert expected == converter(CREATED, form="%d.%m.%Y %H:%M", zone="Europe/Amsterdam")("01.07.2026 12:00")


@pytest.mark.parametrize(
    ("text", "form", "reason"),
    [
        ("2026-07-01T12:00:00", None, "no offset from UTC: state the column's zone"),
        ("yesterday", None, "not a moment in ISO 8601"),
        ("2026-07-01", "%d.%m.%Y", "not a moment of the form %d.%m.%Y"),
        ("0001-01-01T00:00:00+23:59", None, "out of range"),
    ],
)
def test_what_is_no_moment_is_refused(text, form, reason):
    with pytest.raises(ValueError, match=reason):
        converter(CREATED, form=form)(text)


@pytest.mark.parametrize(("text", "expected"), [("true", True), ("1", True), ("False", False), ("0", False)])
def test_a_truth_value_has_four_spellings(text, expected):
    assert expected is converter(VALID)(text)


@pytest.mark.parametrize(
    ("target", "text", "reason"),
    [
        (VALID, "yes", "'yes' is none of true, false, 1, 0"),
        (STATUS, "ok", "'ok' is none of success, error, cancelled, lost"),
        (STATUS, "started", "is none of"),
        (TENANT, "t" * 121, "longer than 120 characters"),
    ],
)
def test_a_text_outside_the_columns_vocabulary_or_length_is_refused(target, text, reason):
    with pytest.raises(ValueError, match=reason):
        converter(target)(text)


def test_every_kind_of_number_has_units_and_every_factor_is_exact():
    assert {Kind.DURATION, Kind.MONEY, Kind.COUNT} == set(FACTORS)
    assert [1, 1000, Decimal("0.001")] == list(FACTORS[Kind.DURATION].values())


@pytest.mark.parametrize(
    "name", ["log_id", "origin", "time_scale", "owner", "recorded_at", "idempotency_key", "reason"]
)
def test_what_only_this_program_can_say_is_not_importable(name):
    assert name not in targets()


def test_the_importable_columns_have_the_tables_own_kinds():
    kinds = {name: target.kind for name, target in targets().items()}

    assert Kind.DURATION is kinds["first_token_ms"]
    assert Kind.MONEY is kinds["platform_list_cost_nanousd"]
    assert Kind.MOMENT is kinds["finished_at"]
    assert Kind.TRUTH is kinds["output_valid"]
    assert targets()["path"].words == ("messages", "managed")
