"""The page that a node serves: what it is made of, and used in a headless Chromium as a person uses it."""

from __future__ import annotations

import re
import urllib.request
from collections.abc import Iterator

import numpy as np
import pytest

from barelm.contract.serving.answer_state import BY_LENGTH, KEPT
from barelm.metal.serving.node_page import PAGE, put_page
from tests.kernels.web.answers.node import heard
from tests.metal.serving.browser import Browser, chromium
from tests.metal.serving.fake_node import FakeNode, serve
from tests.worlds import World, both_worlds

DESKTOP, PHONE = (1024, 720), (390, 844)
LAST = "[...document.querySelectorAll('.turn.answer > .said')].at(-1)"
IDLE = "document.getElementById('stop').hidden"


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    program = chromium()
    if program is None:
        pytest.skip("no Chromium is installed")
    browser = Browser(program, tmp_path_factory.mktemp("browser"))
    yield browser
    browser.close()


@pytest.fixture
def node() -> Iterator[FakeNode]:
    node = FakeNode()
    server = serve(node)
    yield node
    node.go.set()
    server.shutdown()
    server.server_close()


@pytest.fixture
def page(browser: Browser, node: FakeNode) -> Iterator[Browser]:
    """The page of the node, on a desktop; at the end nothing went wrong, and nobody else was asked."""
    browser.size(*DESKTOP)
    browser.open(node.url)
    yield browser
    assert browser.complaints() == []
    assert {url for url in browser.asked() if not url.startswith((node.url, "data:"))} == set()


def ask(page: Browser, words: str) -> None:
    """Type a question, and send it."""
    page.ask("document.getElementById('text').focus()")
    page.type(words)
    page.press("Enter")


def test_the_page_is_small_and_needs_nobody() -> None:
    html = PAGE.tobytes().decode()
    assert len(PAGE) < 25_000 and html.isascii()
    links = re.findall(r"""(?:src|href|url)\s*[=(]\s*["']?([^"'\s>)]+)""", html)
    assert all(link.startswith("data:") for link in links)
    assert "innerHTML" not in html and "eval(" not in html and "document.write" not in html


@both_worlds
def test_the_page_as_an_answer(world: World) -> None:
    target = np.zeros(1 << 15, np.uint8)
    n = int(world(put_page)(target, 0, KEPT))
    answer = heard(target[:n].tobytes())
    assert answer.body == PAGE.tobytes() and answer.headers["content-type"] == "text/html; charset=utf-8"
    assert int(world(put_page)(target[:n - 1].copy(), 0, KEPT)) == -1


def test_the_node_gives_the_page(node: FakeNode) -> None:
    with urllib.request.urlopen(node.url) as answer:
        assert answer.read() == PAGE.tobytes()


def test_a_conversation(page: Browser, node: FakeNode) -> None:
    page.until("document.getElementById('model').textContent === 'tiny-stories'")
    assert page.ask("document.getElementById('context').textContent") == "4,096 tokens"
    node.says("Once ", "upon\n\na **time**", ".", thought="A story, then.")
    ask(page, "Tell me a story")
    page.until(f"{IDLE} && {LAST}?.innerText.includes('time.')")
    assert page.ask(f"[...{LAST}.children].map(p => p.innerText)") == ["Once upon", "a time."]
    assert page.ask("document.querySelector('details').open") is False
    assert page.ask("document.querySelector('details .said').textContent") == "A story, then."
    assert page.ask("document.getElementById('status').textContent") == "17.0 tokens/s \u00b7 46 of 4,096 tokens"
    node.says("Yes.")
    ask(page, "Another?")
    page.until(f"{IDLE} && {LAST}.innerText === 'Yes.'")
    first, second = node.asked
    assert first["messages"] == [{"role": "user", "content": "Tell me a story"}]
    assert second["messages"] == [*first["messages"], {"role": "assistant", "content": "Once upon\n\na **time**."},
                                  {"role": "user", "content": "Another?"}]
    assert first["stream"] is True and first["model"] == "tiny-stories"
    page.click("#fresh")
    assert page.ask("document.querySelectorAll('.turn').length") == 0
    ask(page, "Hello")
    page.until(f"{IDLE} && {LAST}?.innerText === 'Yes.'")
    assert node.asked[2]["messages"] == [{"role": "user", "content": "Hello"}]


def test_keys(page: Browser, node: FakeNode) -> None:
    node.says("Yes.")
    page.ask("document.getElementById('text').focus()")
    page.press("Enter")
    page.type("one")
    page.press("Enter", shift=True)
    page.type("two")
    assert node.asked == []
    page.press("Enter")
    page.until(f"{IDLE} && {LAST}?.innerText === 'Yes.'")
    assert node.asked[0]["messages"][0]["content"] == "one\ntwo"


def test_what_a_model_says_is_text(page: Browser, node: FakeNode) -> None:
    evil = "<img src=x onerror=\"document.title='owned'\"><script>document.title='owned'</script>"
    node.says(f"{evil}\n```html\n", evil, "\n\n  <b>\n```\nbehind `co", "de` and\n```\nopen")
    ask(page, evil)
    page.until(f"{IDLE} && {LAST}?.innerText.includes('open')")
    assert page.ask("document.title") == "tiny-stories"
    assert page.ask("document.querySelectorAll('#talk img, #talk script').length") == 0
    assert page.ask(f"[...{LAST}.children].map(node => [node.tagName, node.textContent])") == [
        ["P", evil], ["PRE", f"{evil}\n\n  <b>"], ["P", "behind code and"], ["PRE", "open"]]
    assert page.ask("document.querySelector('.turn.user .said').textContent") == evil


def test_stop(page: Browser, node: FakeNode) -> None:
    node.waits = True
    node.says("Half", " and the rest")
    ask(page, "Go on")
    page.until(f"{LAST}?.innerText === 'Half'")
    page.click("#stop")
    page.until(IDLE)
    assert page.ask("document.getElementById('status').textContent") == "Stopped."
    page.until("true")
    node.go.set()
    node.waits = False
    node.says("Fine.")
    ask(page, "Thanks")
    page.until(f"{IDLE} && {LAST}.innerText === 'Fine.'")
    assert [turn["content"] for turn in node.asked[1]["messages"]] == ["Go on", "Half", "Thanks"]


def test_a_new_conversation_ends_the_old_answer(page: Browser, node: FakeNode) -> None:
    node.waits = True
    node.says("Half", " and the rest")
    ask(page, "Go on")
    page.until(f"{LAST}?.innerText === 'Half'")
    page.click("#fresh")
    node.go.set()
    node.waits = False
    node.says("Fine.")
    ask(page, "Hello")
    page.until(f"{IDLE} && {LAST}?.innerText === 'Fine.'")
    assert [turn["content"] for turn in node.asked[1]["messages"]] == ["Hello"]
    assert page.ask("document.querySelectorAll('.turn').length") == 2


@pytest.mark.parametrize(("status", "words", "shown"), [
    (503, "All slots are busy.", "All slots are busy. Try again in a moment."),
    (400, "The prompt is too long.", "The prompt is too long."), (500, "", "The node answered 500.")])
def test_errors_are_words_and_may_be_tried_again(page: Browser, node: FakeNode, status: int, words: str, shown: str
                                                 ) -> None:
    node.refusals = [(status, words)]
    node.says("There.")
    page.until("document.getElementById('model').textContent === 'tiny-stories'")
    ask(page, "Hello")
    page.until(f"{IDLE} && document.querySelector('.wrong')?.innerText === {shown!r}")
    page.click(".turn button")
    page.until(f"{IDLE} && {LAST}?.innerText === 'There.'")
    assert node.asked[0] == node.asked[1] and page.ask("document.querySelector('.wrong')") is None


def test_an_answer_that_breaks_off(page: Browser, node: FakeNode) -> None:
    node.breaks = node.waits = True
    node.says("Half")
    ask(page, "Hello")
    page.until(f"{LAST}?.innerText === 'Half'")
    node.go.set()
    page.until(f"{IDLE} && !!document.querySelector('.wrong')")
    assert page.ask("document.querySelector('.wrong').innerText") == "The connection to the node was lost."
    assert page.ask(f"{LAST}.innerText") == "Half"


def test_an_answer_that_is_as_long_as_it_may(page: Browser, node: FakeNode) -> None:
    node.reason = BY_LENGTH
    node.says("And then")
    ask(page, "Hello")
    page.until(f"{IDLE} && document.querySelector('.note')?.innerText.includes('as long as it may')")


def test_a_key_is_asked_for(browser: Browser, node: FakeNode) -> None:
    node.key = "secret"
    node.says("Welcome.")
    browser.size(*DESKTOP)
    browser.open(node.url)
    browser.until("!document.getElementById('asks').hidden && document.activeElement.id === 'key'")
    browser.type("wrong")
    browser.press("Enter")
    browser.until("document.getElementById('status').textContent === 'This is not the key.'")
    browser.type("secret")
    browser.press("Enter")
    browser.until("document.getElementById('model').textContent === 'tiny-stories'")
    ask(browser, "Hello")
    browser.until(f"{IDLE} && {LAST}?.innerText === 'Welcome.'")
    browser.open(node.url)
    browser.until("document.getElementById('model').textContent === 'tiny-stories'")
    browser.ask("sessionStorage.clear()")


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("size", [DESKTOP, PHONE, (320, 480)])
def test_it_fits_every_screen(browser: Browser, node: FakeNode, size: tuple[int, int], dark: bool) -> None:
    node.says(f"{'long' * 90} and\n\n```\n{'code ' * 60}\n```\n", *(f"Line {k}\n\n" for k in range(40)))
    browser.size(*size, phone=size != DESKTOP, dark=dark)
    browser.open(node.url)
    ask(browser, "x" * 300)
    browser.until(f"{IDLE} && {LAST}?.innerText.includes('Line 39')")
    assert browser.ask("document.documentElement.scrollWidth") <= size[0]
    assert browser.ask("document.documentElement.scrollHeight") <= size[1]
    browser.until("(m => m.scrollHeight - m.scrollTop - m.clientHeight < 2)(document.getElementById('scroll'))")
    for name in ("#text", "#send", "#fresh"):
        x, y, width, height = browser.ask(f"(r => [r.x, r.y, r.width, r.height])"
                                          f"(document.querySelector({name!r}).getBoundingClientRect())")
        assert x >= 0 and x + width <= size[0] and y >= 0 and y + height <= size[1] and height >= 40
    assert browser.ask("[...document.querySelectorAll('input, textarea')].every(field => field.labels.length === 1)")
    assert contrast(browser, "body") > 7 and contrast(browser, "#send") > 4.5 and contrast(browser, "#status") > 4.5


def contrast(browser: Browser, selector: str) -> float:
    """Of an element's letters with what is behind them, as WCAG counts it."""
    colours = browser.ask(f"""(() => {{
        let node = document.querySelector({selector!r});
        const ink = getComputedStyle(node).color;
        while (getComputedStyle(node).backgroundColor === 'rgba(0, 0, 0, 0)') node = node.parentElement;
        return [ink, getComputedStyle(node).backgroundColor];
    }})()""")
    light, dark = sorted((luminance(colour) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: str) -> float:
    """Of `rgb(1, 2, 3)`."""
    parts = [int(part) / 255 for part in re.findall(r"\d+", colour)[:3]]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return float(sum(weight * part for weight, part in zip((0.2126, 0.7152, 0.0722), linear)))
