"""The timestamp converter's pure modules agree with Python's clocks, and say when there are two answers, or none."""

import datetime as dt
import email.utils
import zoneinfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

NOW = 1_800_000_000
MANY = settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
NS = 10**9
EPOCH = dt.datetime(1970, 1, 1, tzinfo=dt.UTC)
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "Pacific/Apia"]
MOMENTS = st.datetimes(dt.datetime(1000, 1, 1), dt.datetime(9999, 12, 30))  # noqa: DTZ001  a zone is drawn beside it


def read(call, text, zone="UTC"):
    return call("timestamp/read.mjs", "read", text, NOW, zone)


def seconds(call, text, zone="UTC"):
    found = read(call, text, zone)["ns"]
    return None if found is None else int(found) / NS


def write(call, name, ns, *more):
    return call("timestamp/write.mjs", name, str(ns), *more)


@pytest.mark.parametrize(
    ("text", "unit", "ns"),
    [
        ("0", "seconds", 0),
        ("-1", "seconds", -NS),
        ("1800000000", "seconds", NOW * NS),
        ("99999999999", "seconds", 99_999_999_999 * NS),
        ("1800000000123", "milliseconds", 1_800_000_000_123 * 10**6),
        ("1800000000123456", "microseconds", 1_800_000_000_123_456 * 1000),
        ("1800000000123456789", "nanoseconds", 1_800_000_000_123_456_789),
        ("1800000000.123456789", "seconds", 1_800_000_000_123_456_789),
        ("-0.5", "seconds", -NS // 2),
        ('"1,800,000,000"', "seconds", NOW * NS),
        ("1_800_000_000", "seconds", NOW * NS),
        ("0000001800000000", "seconds", NOW * NS),
    ],
)
def test_units_are_told_apart(call, text, unit, ns):
    """By the number of digits, to the last of them; the other readings are there, too."""
    found = read(call, text)
    assert (found["form"], found["unit"], int(found["ns"])) == ("number", unit, ns)
    assert unit not in [one["unit"] for one in found["others"]] and found["others"]


@pytest.mark.parametrize(("text", "span"), [("900", 900), ("-60", -60), ("100000000", 10**8), ("100000001", None)])
def test_a_small_number_may_be_a_duration(call, text, span):
    """Up to three years of seconds."""
    assert read(call, text)["span"] == span


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("15m", 900),
        ("1h30m", 5400),
        ("1 hour and 30 minutes", 5400),
        ("2 days", 172_800),
        ("1.5 h", 5400),
        ("PT15M", 900),
        ("P1DT2H", 93_600),
        ("P2W", 1_209_600),
        ("1:30:00", 5400),
    ],
)
def test_durations(call, text, span):
    """As people, configuration files and ISO 8601 write them."""
    found = read(call, text)
    assert (found["span"], found["ns"]) == (span, None)


@pytest.mark.parametrize(
    ("text", "ahead"),
    [
        ("now", 0),
        ("in 15 minutes", 900),
        ("In an hour", 3600),
        ("3 days ago", -259_200),
        ("2 h 5 min from now", 7500),
        ("+90s", 90),
        ("-15m", -900),
    ],
)
def test_times_from_now(call, text, ahead):
    """Ahead and behind."""
    assert seconds(call, text) == NOW + ahead


@pytest.mark.parametrize(
    "text",
    [
        "",
        "soon",
        "2026-02-29",
        "2026-13-01",
        "2026-01-31T24:30",
        "2026-01-31T12:60",
        "2026-01-31T12:00+25:00",
        "Fri, 31 Feb 2026 12:00:00 GMT",
        "1 Foo 2026 12:00",
        "1" * 23,
        "5 lightyears",
        "P",
        "PT",
        "<b>",
        "x" * 101,
    ],
)
def test_what_is_no_time(call, text):
    """It is not moved to a day that there is."""
    found = read(call, text)
    assert (found["ns"], found["span"]) == (None, None)


@MANY
@given(moment=MOMENTS, hours=st.integers(-14, 14), form=st.sampled_from(["T", " ", "basic"]))
def test_iso_8601_as_python_reads_it(call, moment, hours, form):
    """With an offset, in the long form and the short one, to the microsecond."""
    moment = moment.replace(tzinfo=dt.timezone(dt.timedelta(hours=hours)))
    text = moment.isoformat(sep=" " if form == " " else "T")
    if form == "basic":
        text = moment.strftime("%Y%m%dT%H%M%S.%f%z").rjust(26, "0")
    assert int(read(call, text)["ns"]) == (moment - EPOCH) // dt.timedelta(microseconds=1) * 1000


@MANY
@given(moment=MOMENTS.filter(lambda moment: moment.year >= 1990), zone=st.sampled_from(ZONES))
def test_a_time_on_the_wall_as_python_reads_it(call, moment, zone):
    """Of an hour that comes twice both; of one that is skipped none."""
    moment = moment.replace(microsecond=0, year=min(moment.year, 2036))
    info = zoneinfo.ZoneInfo(zone)
    both = {moment.replace(tzinfo=info, fold=fold).astimezone(dt.UTC) for fold in (0, 1)}
    real = sorted(at for at in both if at.astimezone(info).replace(tzinfo=None) == moment)
    found = read(call, moment.isoformat(), zone)
    assert found["gap"] == (not real)
    said = [ns for ns in (found["ns"], found["twice"]) if ns is not None]
    assert [int(ns) // NS for ns in said] == [int(at.timestamp()) for at in real]


@pytest.mark.parametrize(
    ("text", "zone", "expected"),
    [
        ("2026-10-25T02:30", "Europe/Berlin", [1_792_888_200, 1_792_891_800]),
        ("2026-03-29T02:30", "Europe/Berlin", []),
        ("2011-12-30", "Pacific/Apia", []),
        ("2026-04-05T01:45", "Australia/Lord_Howe", [1_775_313_900, 1_775_315_700]),
    ],
)
def test_hours_that_come_twice_and_hours_that_do_not(call, text, zone, expected):
    """An hour, half an hour, and a day that an island left out."""
    found = read(call, text, zone)
    assert [int(ns) // NS for ns in (found["ns"], found["twice"]) if ns is not None] == expected
    assert found["gap"] == (not expected)


@MANY
@given(moment=MOMENTS, form=st.sampled_from(["http", "mail", "850", "asctime"]))
def test_dates_of_mail_and_http_both_ways(call, moment, form):
    """As Python's email module writes and reads them."""
    moment = moment.replace(microsecond=0, tzinfo=dt.UTC)
    ns = int((moment - EPOCH).total_seconds()) * NS
    http, mail = email.utils.format_datetime(moment, usegmt=True), email.utils.format_datetime(moment)
    assert (write(call, "httpDate", ns), write(call, "mailDate", ns)) == (http, mail)
    text = {"http": http, "mail": mail}.get(form)
    if form == "850":
        moment = moment.replace(year=1950 + moment.year % 100, day=min(moment.day, 28))
        text = moment.strftime("%A, %d-%b-%y %H:%M:%S GMT")
    elif form == "asctime":
        text = f"{moment:%a %b} {moment.day:2} {moment:%H:%M:%S} {moment.year:04}"
    assert seconds(call, text) == (moment - EPOCH).total_seconds()


@MANY
@given(us=st.integers(-30_610_224_000_000_000, 253_402_214_400_000_000), zone=st.sampled_from(ZONES[:4]))
def test_every_form_as_python_writes_it(call, us, zone):
    """And what is written is read as the same instant."""
    moment = EPOCH + dt.timedelta(microseconds=us)
    ns = us * 1000
    iso = write(call, "isoExact", ns)
    assert dt.datetime.fromisoformat(iso) == moment and int(read(call, iso)["ns"]) == ns
    assert [int(text) for text in write(call, "units", ns).values()] == [us // 10**6, us // 1000, us, ns]
    if moment.year >= 1990 and moment.year < 2037:
        there = moment.astimezone(zoneinfo.ZoneInfo(zone)).replace(microsecond=0)
        assert write(call, "isoIn", ns, zone) == there.isoformat()


@pytest.mark.parametrize(
    ("at", "codes"),
    [
        (0, []),
        (-1, ["before_1970"]),
        (2**31 - 1, []),
        (2**31, ["beyond_2038"]),
        (2**32, ["beyond_2106"]),
        (-(2**31) - 1, ["before_1970", "before_1901"]),
        (-12_219_292_801, ["before_1970", "before_1901", "before_gregorian"]),
    ],
)
def test_what_is_worth_knowing(call, at, codes):
    """Where numbers of 32 bits end, and calendars change."""
    assert write(call, "remarks", at * NS) == codes


@pytest.mark.parametrize(
    ("span", "words"), [(900, "15 minutes"), (0, "0 seconds"), (-93_784, "minus 1 day 2 hours 3 minutes 4 seconds")]
)
def test_durations_in_words(call, span, words):
    """Every unit of them."""
    assert call("timestamp/write.mjs", "spanWords", span) == words


def test_the_ends_of_the_calendar(call):
    """Beyond what a browser can show nothing is shown, and nothing breaks."""
    assert read(call, "8640000000000000")["unit"] == "microseconds"
    assert write(call, "isoExact", 8_640_000_000_001 * NS) is None
    assert write(call, "httpDate", 300_000_000_000 * NS) is None
    assert seconds(call, "+275760-09-13T00:00:00Z") == 8_640_000_000_000
