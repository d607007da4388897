"""The studio's pages in a real browser: each page and action, both themes, a phone, keys alone."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import pytest

from studio.browsing import PAYLOADS, TOKEN, WEB, Pages, Visit, chromium, serving, tools

pytestmark = pytest.mark.slow
RUNS = ("digits", "table", "series", "texts", "unseen", "hostile", "large")
PLACES = {
    "runs": "#/",
    "cases": "#/digits/cases",
    "case": "#/digits/case/test/4",
    "model": "#/digits/model",
    "compare": "#/digits/compare?with=table",
    "log": "#/digits/log",
}
SAID = ".answer > div:first-child b"


@pytest.fixture(scope="module")
def origin() -> Iterator[str]:
    with serving() as address:
        yield address


@pytest.fixture(scope="module")
def browser() -> Iterator[object]:
    with chromium() as found:
        yield found


@pytest.fixture
def pages(browser: object, origin: str) -> Iterator[Pages]:
    found = Pages(browser, origin)  # type: ignore[arg-type]
    yield found
    found.close()


def say(visit: Visit, name: str, word: str) -> None:
    """Correct a concept by a click, and wait for the server's word."""
    with visit.page.expect_response(lambda r: r.url.endswith("/corrections")):
        visit.page.get_by_role("button", name=f"{word}: {name}", exact=True).click()
    visit.settle()


# The frame


def test_the_token_leaves_the_address_at_once_and_is_never_asked_for_in_one(pages: Pages) -> None:
    visit = pages.open("#/digits/case/test/0")
    visit.page.reload()
    visit.until("document.title.includes('case-')")
    visit.settle()
    assert TOKEN not in visit.page.url
    assert len(visit.asked) > 10
    assert not [url for url in visit.asked[1:] if TOKEN in url]
    assert {url.split("/")[2] for url in visit.asked if not url.startswith("blob:")} == {
        visit.origin.split("/")[2]
    }
    assert visit.page.evaluate("history.length") <= 3
    assert visit.page.evaluate("Object.keys(localStorage).length") == 0


def test_without_a_token_the_page_asks_for_it(pages: Pages) -> None:
    visit = pages.open(token=False)
    visit.page.get_by_label("Token").fill("wrong")
    visit.page.keyboard.press("Enter")
    visit.page.get_by_text("wanted the token").wait_for()
    visit.page.get_by_label("Token").fill(TOKEN)
    visit.page.get_by_role("button", name="Open").click()
    visit.page.get_by_role("heading", name="8 runs").wait_for()


def test_a_printed_address_pasted_into_an_open_window_gives_a_new_token(pages: Pages) -> None:
    visit = pages.open()
    visit.page.evaluate(f"location.hash = 'token={TOKEN}'")
    visit.page.get_by_role("heading", name="8 runs").wait_for()
    assert TOKEN not in visit.page.url


def test_the_theme_switch_wins_over_the_system_and_stays(pages: Pages) -> None:
    visit = pages.open(color_scheme="dark")
    ground = "getComputedStyle(document.body).backgroundColor"
    assert visit.page.evaluate(ground) == "rgb(22, 24, 28)"
    visit.page.keyboard.press("t")
    assert visit.page.evaluate(ground) == "rgb(255, 255, 255)"
    visit.page.reload()
    visit.until("document.title.includes('·')")
    assert visit.page.evaluate(ground) == "rgb(255, 255, 255)"
    assert visit.wrong == []


def test_an_answer_that_fails_is_told_and_leaves_the_page_usable(pages: Pages) -> None:
    visit = pages.open("#/digits/cases")
    visit.page.context.set_offline(True)
    visit.page.evaluate("location.hash = '#/digits/model'")
    visit.page.get_by_role("alert").get_by_text("does not answer").wait_for()
    visit.page.context.set_offline(False)
    visit.page.get_by_role("button", name="Try again").click()
    visit.page.get_by_role("heading", name="Weights").first.wait_for()
    assert visit.page.get_by_role("alert").inner_text() == ""
    visit.page.evaluate("location.hash = '#/nowhere/cases'")
    visit.page.get_by_role("alert").get_by_text("nowhere").wait_for()


def test_the_help_opens_by_a_key_and_single_keys_can_be_switched_off(pages: Pages) -> None:
    page = pages.open().page
    page.keyboard.press("?")
    page.get_by_role("dialog").get_by_text("why not another label?").wait_for()
    page.get_by_role("checkbox").uncheck()
    page.keyboard.press("Escape")
    page.locator("dialog").wait_for(state="detached")
    page.keyboard.press("?")
    page.keyboard.press("t")
    assert page.locator("dialog").count() == 0
    assert page.evaluate("document.documentElement.dataset.theme") is None


# Each page


@pytest.mark.parametrize(
    ("theme", "width", "rules"),
    [
        ("light", 1280, []),
        ("dark", 390, []),
        ("dark", 1280, ["color-contrast"]),
        ("light", 390, ["color-contrast"]),
    ],
)
def test_pages_have_no_serious_finding_no_error_and_no_overflow(
    pages: Pages, theme: str, width: int, rules: list[str]
) -> None:
    axe = (tools() / "node_modules" / "axe-core" / "axe.min.js").read_text(encoding="utf-8")
    visit = pages.open(width=width, color_scheme=theme)
    found = []
    for name, place in PLACES.items():
        page = visit.go(place)
        if name == "case":
            page.get_by_role("button", name="left is 3", exact=True).click()
            visit.settle()
        page.evaluate(axe)
        options = {"resultTypes": ["violations"], **({"runOnly": rules} if rules else {})}
        result = page.evaluate("options => axe.run(options)", options)
        found += [
            f"{name}: {v['id']} {v['nodes'][0]['html'][:120]}"
            for v in result["violations"]
            if v["impact"] in ("serious", "critical")
        ]
        assert len(page.evaluate("axe.getRules()")) > 50
        assert page.evaluate("document.documentElement.scrollWidth - innerWidth") <= 0, name
    assert found == []
    assert visit.wrong == []


@pytest.mark.parametrize("run", RUNS)
def test_runs_of_every_kind_open_whatever_their_names_say(pages: Pages, run: str) -> None:
    visit = pages.open(f"#/{run}/cases")
    assert visit.page.locator(".list .rows .row").count() > 5
    visit.go(f"#/{run}/case/test/1")
    visit.page.locator(".concept .title").first.click()
    visit.settle()
    for page in ("model", "log", "compare"):
        visit.go(f"#/{run}/{page}")
    assert visit.page.evaluate("window.pwned") is None
    assert visit.wrong == []


def test_no_name_and_no_note_is_ever_run(pages: Pages) -> None:
    visit = pages.open("#/payloads/cases")
    for place in ("cases", "case/test/1", "model", "compare?with=hostile", "log"):
        visit.go(f"#/payloads/{place}")
    visit.go("#/payloads/case/test/1")
    for payload in PAYLOADS[::12]:
        visit.page.get_by_label("Note", exact=True).fill(payload)
        visit.page.get_by_role("button", name="Keep the note").click()
        visit.page.locator(".notes li", has_text=payload).wait_for()
    visit.page.get_by_role("button", name="more of 60").click()
    assert sorted(visit.page.locator(".concept .title").all_text_contents()) == sorted(PAYLOADS)
    say(visit, PAYLOADS[7], "yes")
    visit.go("#/payloads/log")
    visit.page.get_by_text(PAYLOADS[7]).first.wait_for()
    assert len(set(PAYLOADS)) == 60
    assert visit.page.evaluate("window.pwned") is None
    assert {url.split("/")[2] for url in visit.asked if not url.startswith("blob:")} == {
        visit.origin.split("/")[2]
    }
    assert visit.wrong == []


def test_names_are_shown_as_they_were_written(pages: Pages) -> None:
    visit = pages.open("#/hostile/case/test/1")
    titles = visit.page.locator(".concept .title").all_text_contents()
    assert "<script>window.pwned=1</script>" in titles
    assert "'\"><svg/onload=window.pwned=1>" in titles
    assert visit.page.locator("main script, main svg[onload], main img[onerror]").count() == 0


# Cases


def test_a_long_list_holds_only_the_rows_in_sight(pages: Pages) -> None:
    visit = pages.open("#/large/cases?sort=row")
    grid = visit.page.get_by_role("grid")
    assert grid.get_attribute("aria-rowcount") == "10001"
    grid.focus()
    visit.page.keyboard.press("End")
    visit.page.get_by_text("case-09999").wait_for()
    assert visit.page.locator(".list .rows .row").count() < 80
    visit.page.keyboard.press("PageUp")
    visit.page.keyboard.press("Home")
    visit.page.get_by_text("case-00000").wait_for()
    asked = [url for url in visit.asked if "/cases?" in url]
    assert len(asked) < 8


def test_filters_search_and_label_narrow_the_list(pages: Pages) -> None:
    visit = pages.open("#/table/cases")
    status = visit.page.locator(".bar [role=status]")
    status.get_by_text("120 cases").wait_for()
    visit.page.get_by_role("button", name="Unsure").click()
    status.get_by_text("12 cases").wait_for()
    visit.page.get_by_role("button", name="All").click()
    status.get_by_text("120 cases").wait_for()
    assert visit.page.evaluate("document.activeElement.textContent") == "All"
    visit.page.get_by_label("Find a case").press_sequentially("case-0001")
    status.get_by_text("10 cases").wait_for()
    assert visit.page.evaluate("document.activeElement.value") == "case-0001"
    visit.page.get_by_label("Label").select_option("malignant")
    visit.until("!document.querySelector('.bar [role=status]').textContent.startsWith('10 ')")
    assert "filter" not in visit.page.url
    assert "search=case-0001" in visit.page.url


def test_the_list_is_where_it_was_when_one_comes_back(pages: Pages) -> None:
    visit = pages.open("#/digits/cases")
    visit.page.get_by_role("grid").focus()
    for _ in range(3):
        visit.page.keyboard.press("PageDown")
    visit.settle()
    top = visit.page.evaluate("document.querySelector('.list').scrollTop")
    visit.page.keyboard.press("Enter")
    visit.page.wait_for_selector(".answer")
    visit.page.keyboard.press("l")
    visit.page.wait_for_selector(".list .row.active")
    visit.settle()
    assert top > 500
    assert visit.page.evaluate("document.querySelector('.list').scrollTop") == top


# A case


def test_a_correction_by_click_changes_the_answer_and_taking_it_back_restores_it(
    pages: Pages,
) -> None:
    visit = pages.open("#/table/case/test/7")
    before = visit.page.locator(".answer").inner_text(), visit.page.locator(".scores").inner_text()
    first = visit.page.locator(".concept[data-name]").first
    name = first.get_attribute("data-name") or ""
    read = float(first.locator(".value").inner_text())
    word = "no" if read > 0.5 else "yes"
    say(visit, name, word)
    assert visit.page.locator(".scores").inner_text() != before[1]
    assert "before your correction" in visit.page.locator(".answer").inner_text()
    assert "changed" in (first.get_attribute("class") or "")
    assert first.get_attribute("data-name") == name, "rows must not move under the hand"
    say(visit, name, word)
    after = visit.page.locator(".answer").inner_text(), visit.page.locator(".scores").inner_text()
    assert after == before
    assert visit.wrong == []


def test_a_yes_in_a_group_is_a_no_to_the_rest(pages: Pages) -> None:
    visit = pages.open("#/digits/case/test/11")
    say(visit, "left is 4", "yes")
    values = [
        visit.page.locator(f'.concept[data-name="left is {i}"] .value').inner_text()
        for i in range(10)
    ]
    assert [v.split(" ")[-1] for v in values] == ["1.00" if i == 4 else "0.00" for i in range(10)]


def test_everything_about_a_case_works_by_keys_alone(pages: Pages) -> None:
    visit = pages.open("#/digits/cases?sort=row")
    keys = visit.page.keyboard
    keys.press("c")
    for _ in range(20):
        keys.press("ArrowDown")
    keys.press("Enter")
    visit.page.wait_for_selector(".answer")
    visit.settle()
    assert "case-00020" in visit.text("h1")
    keys.press("c")
    keys.press("ArrowDown")
    name = visit.page.evaluate("document.activeElement.dataset.name")
    keys.press("y")
    visit.page.wait_for_selector(f'.concept.changed[data-name="{name}"]')
    assert visit.page.evaluate("document.activeElement.dataset.name") == name
    keys.press("Enter")
    visit.page.get_by_role("heading", name=f"Evidence for {name}").wait_for()
    keys.press("v")
    visit.settle()
    keys.press("Control+a")
    keys.type("0.25")
    keys.press("Enter")
    visit.page.locator(f'.concept[data-name="{name}"] .value', has_text="→ 0.25").wait_for()
    assert visit.page.evaluate("document.activeElement.dataset.name") == name
    keys.press("Backspace")
    visit.page.wait_for_selector(f'.concept:not(.changed)[data-name="{name}"]')
    keys.press("j")
    visit.page.get_by_role("heading", name="case-00021").wait_for()
    assert visit.page.evaluate("document.activeElement.closest('.concepts') !== null")
    keys.press("k")
    visit.page.get_by_role("heading", name="case-00020").wait_for()
    assert visit.wrong == []


def test_undo_and_redo_move_the_label_back_and_forth(pages: Pages) -> None:
    visit = pages.open("#/series/case/test/3")
    scores = visit.page.locator(".scores")
    before = scores.inner_text()
    say(visit, "rhythm", "yes")
    say(visit, "high", "yes")
    after = scores.inner_text()
    for _ in range(2):
        with visit.page.expect_response(lambda r: r.url.endswith("/undo")):
            visit.page.keyboard.press("Control+z")
        visit.settle()
    assert scores.inner_text() == before
    for _ in range(2):
        with visit.page.expect_response(lambda r: r.url.endswith("/redo")):
            visit.page.keyboard.press("Control+Shift+z")
        visit.settle()
    assert scores.inner_text() == after
    assert after != before


def test_undoing_what_was_done_elsewhere_says_where(pages: Pages) -> None:
    visit = pages.open("#/series/case/test/20")
    say(visit, "high", "yes")
    visit.go("#/series/case/test/21")
    visit.page.keyboard.press("u")
    visit.page.get_by_role("alert").get_by_role("link", name="test row 20").click()
    visit.page.get_by_role("heading", name="case-00020").wait_for()
    assert visit.page.locator(".concept.changed").count() == 0


def test_why_not_gives_corrections_that_make_the_model_say_it(pages: Pages) -> None:
    visit = pages.open("#/texts/case/test/4")
    said = visit.text(SAID)
    other = {"good": "bad", "bad": "good"}[said]
    visit.page.keyboard.press("w")
    visit.page.get_by_label("Why not another label?").select_option(other)
    told = visit.page.locator(".why .told")
    told.get_by_role("button").first.wait_for()
    steps = told.locator("li").count()
    assert steps >= 1
    with visit.page.expect_response(lambda r: r.url.endswith("/corrections")):
        told.get_by_role("button").first.click()
    visit.settle()
    assert visit.page.locator(".concept.changed").count() == steps


def test_a_note_is_kept_and_found_again(pages: Pages) -> None:
    visit = pages.open("#/table/case/test/40")
    visit.page.keyboard.press("m")
    visit.page.keyboard.type("the <b>margin</b> is blurred")
    visit.page.get_by_label("I disagree with the model").check()
    visit.page.get_by_role("button", name="Keep the note").click()
    visit.page.locator(".notes li").get_by_text("the <b>margin</b> is blurred").wait_for()
    assert "disagrees" in visit.text(".notes li")
    visit.go("#/table/cases?filter=noted")
    visit.page.get_by_text("case-00040").wait_for()


def test_a_second_window_sees_what_the_first_did(pages: Pages) -> None:
    first, second = pages.open("#/unseen/case/test/5"), pages.open("#/unseen/case/test/5")
    say(first, "u0", "yes")
    second.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")
    second.page.wait_for_selector('.concept.changed[data-name="u0"]')
    assert first.text(".scores") == second.text(".scores")


def test_evidence_is_shown_with_its_place(pages: Pages) -> None:
    visit = pages.open("#/digits/case/test/30")
    visit.page.get_by_role("button", name="right is 3", exact=True).click()
    visit.page.wait_for_selector(".picture .heat:not([hidden])")
    visit.settle()
    frame = visit.page.locator(".picture rect").last.bounding_box()
    picture = visit.page.locator(".picture").bounding_box()
    assert frame is not None
    assert picture is not None
    assert frame["x"] - picture["x"] == pytest.approx(picture["width"] * 4 / 56, abs=3)
    visit.go("#/series/case/test/30")
    visit.page.locator(".concept .title").first.click()
    visit.page.wait_for_selector(".spark .shade rect")
    assert visit.page.locator(".spark").first.locator(".shade rect").count() == 48


# Model, compare, log


def test_an_edit_is_previewed_before_it_is_kept_and_can_be_undone(pages: Pages) -> None:
    visit = pages.open("#/table/model")
    cell = visit.page.locator('.weights td[data-at="3 1"]')
    old = cell.inner_text()
    cell.click()
    visit.page.get_by_label("Edit", exact=True).select_option("set")
    visit.page.get_by_label("Factor or value").fill("2.5")
    visit.page.get_by_role("button", name="Try it").click()
    visit.page.locator(".drafts").get_by_text("validation rows").wait_for()
    assert cell.inner_text() == old
    assert "drafted" in (cell.get_attribute("class") or "")
    visit.page.get_by_role("button", name="Discard").click()
    visit.until("!document.querySelector('.drafted')")
    visit.page.get_by_role("button", name="Try it").click()
    visit.page.get_by_role("button", name="Keep", exact=True).click()
    visit.until("document.querySelector('[data-at=\"3 1\"]').textContent === '2.50'")
    assert "set to 2.50" in visit.text(".weights ol li")
    visit.page.locator("h1").focus()
    visit.page.keyboard.press("u")
    visit.until("old => document.querySelector('[data-at=\"3 1\"]').textContent === old", arg=old)


def test_weights_are_walked_through_by_keys(pages: Pages) -> None:
    visit = pages.open("#/large/model")
    visit.page.keyboard.press("c")
    visit.page.keyboard.press("ArrowRight")
    visit.page.keyboard.press("PageDown")
    assert visit.page.evaluate("document.activeElement.dataset.at") == "24 1"
    visit.page.keyboard.press("End")
    assert visit.page.evaluate("document.activeElement.dataset.at") == "24 199"
    visit.page.keyboard.press("Enter")
    assert visit.page.locator("select:focus").get_attribute("aria-label") == "Edit"
    assert visit.page.get_by_label("Concept", exact=True).input_value() == "concept 24"


def test_plots_name_their_numbers(pages: Pages) -> None:
    visit = pages.open("#/digits/model")
    figure = visit.page.locator("figure", has_text="Corrections")
    figure.get_by_text("The numbers").click()
    assert figure.locator("tbody tr").count() == 22
    assert figure.locator("svg .series").count() == 2
    points = figure.locator("svg .series").first.locator("path.dot")
    tops = [points.nth(i).bounding_box()["y"] for i in range(11)]  # type: ignore[index]
    assert tops == sorted(tops, reverse=True)


def test_two_runs_stand_side_by_side(pages: Pages) -> None:
    visit = pages.open("#/digits/compare?with=table")
    visit.page.get_by_role("heading", name="They disagree about").wait_for()
    visit.page.locator(".disagree .row:not(.head)").nth(2).click()
    visit.page.get_by_role("heading", name="case-00002").wait_for()


def test_the_log_tells_undoes_and_gives_its_tables_away(pages: Pages) -> None:
    visit = pages.open("#/unseen/case/test/9")
    say(visit, "u1", "yes")
    visit.go("#/unseen/log")
    first = visit.page.locator(".log .rows .row").first
    assert "case-00009" in first.inner_text()
    with visit.page.expect_download() as saved:
        visit.page.get_by_role("button", name="↓ Corrections").click()
    kept = saved.value.path().read_text()
    assert "test,9,u1,1.0" in kept
    assert TOKEN not in saved.value.url
    visit.page.get_by_role("button", name="Undo").click()
    visit.page.wait_for_selector(".log .row.gone")
    visit.page.locator("input[type=file]").set_input_files(
        {"name": "back.csv", "mimeType": "text/csv", "buffer": kept.encode()}
    )
    visit.until("document.querySelectorAll('.log .rows .row').length >= 3")
    visit.page.locator("input[type=file]").set_input_files(
        {"name": "bad.csv", "mimeType": "text/csv", "buffer": b"a,b\n1,2\n"}
    )
    visit.page.get_by_role("alert").get_by_text("csv").wait_for()


def test_nothing_moves_for_those_who_asked_for_stillness(pages: Pages) -> None:
    visit = pages.open("#/digits/case/test/50", reduced_motion="reduce")
    say(visit, "left is 1", "yes")
    moving = visit.page.evaluate("document.getAnimations().length")
    assert moving == 0
    assert visit.page.evaluate(
        "getComputedStyle(document.querySelector('.concept .fill')).transitionProperty"
    ) in ("none", "all")


# The sources


def test_the_scripts_have_the_types_they_say() -> None:
    tool = tools() / "node_modules" / ".bin" / "tsc"
    done = subprocess.run([tool, "-p", WEB / "tsconfig.json"], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_scripts_pass_the_linter() -> None:
    tool = tools() / "node_modules" / ".bin" / "eslint"
    command = [tool, "-c", WEB / "eslint.config.js", "src/narrows/studio/static"]
    done = subprocess.run(command, capture_output=True, text=True, cwd=WEB.parents[1])
    assert done.returncode == 0, done.stdout
