"""Secrets never come through: whole, encoded, split over writes, beside each other, or because somebody was killed."""

from __future__ import annotations

import base64
import html
import json
import os
import subprocess
import urllib.parse
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from legato.declare.resource import Secret, watch_secrets
from legato.terms.attempt import Output, Ref
from legato.terms.errors import LegatoError
from legato.terms.fact import Verdict
from legato.worker.capture import Capture
from legato.worker.failure import Refused, describe_failure
from legato.worker.mask import Forms, Mask, forms_of
from legato.worker.veil import Veil, Veils

VALUE = 'p/4"s+wörd <&>%'
PLAIN = "correct-horse-7"


def forms(*values: str) -> Forms:
    return Forms(form for value in values for form in forms_of(value))


def hide(text: str, *values: str) -> str:
    return forms(*values).hide(text.encode()).decode()


@pytest.mark.parametrize("value", [VALUE, PLAIN])
@pytest.mark.parametrize(
    "encode",
    [
        str, json.dumps, lambda text: json.dumps(text, ensure_ascii=False), repr, html.escape, urllib.parse.quote,
        lambda text: urllib.parse.quote(text, safe=""), urllib.parse.quote_plus, lambda text: text.encode().hex(),
        lambda text: text.encode().hex().upper(), lambda text: base64.b64encode(text.encode()).decode(),
        lambda text: base64.urlsafe_b64encode(text.encode()).decode(), lambda text: json.dumps({"token": [text]}),
        lambda text: json.dumps(text).replace("/", "\\/"),
    ],
)  # fmt: skip
def test_encoded_it_is_hidden_too(value, encode):
    shown = hide(f"before {encode(value)} after", value)
    assert shown.startswith("before ")
    assert shown.endswith(" after")
    assert "***" in shown
    assert encode(value).strip("'\"") not in shown


@pytest.mark.parametrize("before", range(4))
@pytest.mark.parametrize("behind", range(4))
def test_in_the_middle_of_something_encoded_it_is_hidden(before, behind):
    whole = base64.b64encode(b"user:"[:before] + PLAIN.encode() + b"@home"[:behind]).decode()
    shown = hide(whole, PLAIN)
    assert "***" in shown
    assert len(shown.replace("***", "")) <= 12, "at each end what stands beside it, and two characters that are of both"


def test_lines_of_a_key_are_hidden_one_by_one():
    key = "-----BEGIN KEY-----\nMIIEvQIBADANBgkq\nhkiG9w0BAQEFAASC\n-----END KEY-----"
    assert hide("x MIIEvQIBADANBgkq y", key) == "x *** y"
    assert hide(key, key) == "***"


def test_what_is_short_or_not_set_is_no_secret(monkeypatch):
    monkeypatch.setenv("MASK_SHORT", "abc")
    monkeypatch.delenv("MASK_UNSET", raising=False)
    mask = Mask((Secret("MASK_SHORT"), Secret("MASK_UNSET"), Secret("file:/nowhere/at/all")))
    assert mask.cover()("abcdef") == "abcdef"


def test_what_was_seen_once_stays_hidden(monkeypatch):
    monkeypatch.setenv("MASK_CHANGES", "first-value")
    mask = Mask((Secret("MASK_CHANGES"),))
    assert mask.cover()("first-value") == "***"
    monkeypatch.setenv("MASK_CHANGES", "second-value")
    assert mask.cover()("first-value second-value") == "*** ***"
    monkeypatch.delenv("MASK_CHANGES")
    assert mask.cover()("first-value second-value") == "*** ***"


def test_what_a_source_of_ones_own_gave_is_hidden_and_it_is_not_asked_for_that():
    asked = []
    secret = Secret("db/password", lambda name: asked.append(name) or f"of {name}, 7351")
    mask = Mask((secret,))
    assert mask.cover()("nothing") == "nothing"
    assert asked == []
    assert secret.reveal() == "of db/password, 7351"
    assert mask.cover()("it is of db/password, 7351!") == "it is ***!"
    assert asked == ["db/password"]
    with pytest.raises(LegatoError) as raised:
        Secret("port", lambda name: 5432).reveal()
    assert raised.value.code == "secret-missing"


def test_an_error_is_hidden_in_all_its_words_before_it_is_cut(monkeypatch):
    monkeypatch.setenv("MASK_IN_ERROR", PLAIN)
    hide = Mask((Secret("MASK_IN_ERROR"),)).cover()
    for before in range(9_980, 10_001):
        found = describe_failure(ValueError("x" * before + PLAIN + "x" * 20_000), None, Path("/"), hide=hide)
        assert "correct" not in found.message
        assert "horse" not in found.trace
    assert describe_failure(Refused("value", f"no {PLAIN}"), None, Path("/"), hide=hide).message == "no ***"


def test_what_checks_said_is_hidden(monkeypatch):
    monkeypatch.setenv("MASK_VERDICT", PLAIN)
    mask = Mask((Secret("MASK_VERDICT"),))
    said = Verdict("c", False, message=f"{PLAIN}?", where=f"a = '{PLAIN}'", sample=[{"a": PLAIN, "n": 1}])
    ref = Ref("a", "", "v", "files", "l", "json")
    ((found,),) = (each.verdicts for each in mask.hide_in_outputs((Output(ref, (), (said,)),)))
    assert (found.message, found.where, found.sample) == ("***?", "a = '***'", [{"a": "***", "n": 1}])


def test_secrets_that_are_named_while_somebody_watches_are_known():
    with watch_secrets() as named:
        one = Secret("ONE")
        with watch_secrets() as inner:
            two = Secret("TWO")
    Secret("THREE")
    assert (named, inner) == ([one, two], [two])


texts = st.text(st.sampled_from("ab\\n\n"), max_size=12)
values = st.lists(st.text(st.sampled_from("abc\n"), min_size=4, max_size=9), min_size=1, max_size=3)


@given(values, st.lists(st.one_of(texts, st.integers(0, 2)), max_size=8), st.lists(st.integers(0, 60), max_size=6))
def test_however_a_stream_is_cut_it_is_hidden_as_the_whole_is(values, story, cuts):
    """What has been passed on is never taken back, and never holds a secret or the beginning of what becomes one."""
    found = forms(*values)
    body = "".join(values[each % len(values)] if isinstance(each, int) else each for each in story).encode()
    ends = sorted({min(cut, len(body)) for cut in cuts} | {len(body)})
    shown, left, at = b"", b"", 0
    for end in ends:
        left, at = left + body[at:end], end
        more, taken = found.pass_on(left)
        shown, left = shown + more, left[taken:]
        assert found.hide(body[: end - len(left)]) == shown
    assert shown + found.hide(left) == found.hide(body)
    assert not any(form in found.hide(body).replace(b"***", b"\0") for form in (value.encode() for value in values))


# -- on the way to a log --


class Bench:
    """A capture behind a veil, and what others see of it."""

    def __init__(self, folder: Path) -> None:
        self.veil, self.path = Veil.create(), folder / "1.log"
        self.mask = Mask((Secret("MASK_BENCH"),))
        self.spare = os.dup(self.veil.fd)
        self.capture = Capture(folder, "1.log", veil=self.veil, mask=self.mask)

    def seen(self) -> str:
        return self.path.read_text()


@pytest.fixture
def bench(tmp_path, monkeypatch):
    monkeypatch.setenv("MASK_BENCH", PLAIN)
    bench = Bench(tmp_path)
    yield bench
    os.close(bench.spare)


def test_nobody_ever_sees_what_the_mask_has_not(bench, capfd):
    bench.capture.redirect()
    os.write(1, b"it is correct-")
    assert bench.seen() == ""
    bench.capture.pour()
    assert bench.seen() == "it is "
    os.write(2, b"horse")
    bench.capture.pour()
    subprocess.run(["printf", "-7 as you know\nc"], check=True)
    bench.capture.pour()
    assert bench.seen() == "it is *** as you know\n"
    print(f"and {PLAIN}")
    span = bench.capture.end()
    bench.capture.restore()
    assert bench.seen() == "it is *** as you know\ncand ***\n"
    assert (span.start, span.end) == (0, len(bench.seen()))
    bench.capture.close()


def test_each_attempt_has_its_own_part_of_the_log(bench):
    bench.capture.redirect()
    print("one", PLAIN)
    first = bench.capture.end()
    bench.capture.pour()
    print("two")
    second = bench.capture.end()
    assert bench.capture.end() is None
    bench.capture.close()
    assert [bench.seen()[span.start : span.end] for span in (first, second)] == ["one ***\n", "two\n"]


def test_much_output_gives_its_memory_back_and_is_cut_in_its_middle(bench):
    bench.capture._limit = 1 << 20
    bench.capture.redirect()
    line = (PLAIN + " and more, so much more\n").encode()
    for _ in range(50):
        os.write(1, line * 4000)
        bench.capture.pour()
    held = os.fstat(bench.spare).st_blocks * 512
    span = bench.capture.end()
    bench.capture.close()
    assert held < 1 << 20
    assert span.end - span.start <= (1 << 20) + 100
    assert PLAIN not in bench.seen()
    assert bench.seen().count("*** and more") > 10_000


def test_what_the_dead_have_left_is_poured_by_who_buries_them(tmp_path, monkeypatch):
    monkeypatch.setenv("MASK_BENCH", PLAIN)
    log = tmp_path / "1.log"
    veils = Veils((Secret("MASK_BENCH"),), lambda number: log)
    veil = veils.hang(1)
    child = os.fork()
    if child == 0:
        capture = Capture(tmp_path, "1.log", veil=veil, mask=Mask((Secret("MASK_BENCH"),)))
        capture.redirect()
        os.write(1, f"poured {PLAIN}\n".encode())
        capture.pour()
        os.write(1, f"left {PLAIN[:9]}".encode())
        os.write(2, f"{PLAIN[9:]} and the last words".encode())
        os._exit(9)
    os.waitpid(child, 0)
    assert log.read_text() == "poured ***\n"
    veils.lift(1)
    assert log.read_text() == "poured ***\nleft *** and the last words"
    assert veils.descriptors() == []
    veils.lift(1)
    veils.lift_all()


def test_what_only_the_dead_knew_is_left_out(tmp_path):
    log = tmp_path / "1.log"
    log.touch()
    veils = Veils((Secret("x", lambda name: "only here"),), lambda number: log)
    for number, words in ((1, b"it was only here"), (2, b"")):
        veil = veils.hang(number)
        end = veil.open_end()
        os.write(end, words)
        os.close(end)
        veils.lift(number)
    assert log.read_text().count("left out") == 1
    assert "only here" not in log.read_text()


def test_without_secrets_there_is_no_veil(tmp_path):
    assert Veils((), lambda number: tmp_path / "1.log").hang(1) is None
