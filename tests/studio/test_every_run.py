"""Real runs through the routes: every kind answers in the shapes the OpenAPI document promises."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from urllib.parse import quote

import pytest

from narrows.studio import shapes
from narrows.studio.app import make_app
from narrows.studio.desk import Desk
from studio.asking import ORIGINS, TOKEN, Answer, ask, post
from studio.small_runs import fresh

RUNS = ("table_run", "picture_run", "sparse_run")


@pytest.fixture(params=RUNS)
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Desk]:
    desk = Desk(fresh(request.getfixturevalue(request.param), tmp_path))
    desk.id = "run"
    yield desk
    desk.close()


def checked(shape: type[shapes.Given], answer: Answer) -> Answer:
    assert answer.status == 200, answer.body
    shape.model_validate(answer.json())
    return answer


def test_each_kind_of_run_answers_in_the_promised_shapes(opened: Desk) -> None:
    app = make_app({"run": opened}, TOKEN, ORIGINS)
    base = "/api/runs/run"
    checked(shapes.Runs, ask(app, "/api/runs"))
    can = checked(shapes.About, ask(app, base)).json()["can"]
    listed = checked(shapes.Cases, ask(app, f"{base}/cases?filter=unsure&sort=margin"))
    case = f"{base}/cases/test/{listed.json()['cases'][0]['row']}"
    shown = checked(shapes.Case, ask(app, f"{case}?filter=unsure&sort=margin")).json()
    unit = quote(shown["units"][0]["name"], safe="")
    checked(shapes.Evidence, ask(app, f"{case}/evidence?unit={unit}"))
    checked(shapes.Model, ask(app, f"{base}/model"))
    checked(shapes.Weights, ask(app, f"{base}/weights"))
    checked(shapes.Kept, post(app, f"{case}/notes", {"text": "<b>", "kind": "disagreement"}))
    checked(shapes.Log, ask(app, f"{base}/log"))
    checked(shapes.Compared, ask(app, "/api/compare?runs=run,run"))
    rival = quote(shown["now"]["rival"], safe="")
    why = ask(app, f"{case}/why-not?label={rival}")
    if can["why_not"]:
        checked(shapes.WhyNot, why)
    else:
        assert why.status == 400
    picture = ask(app, f"{case}/input.png")
    assert picture.status == (200 if can["picture"] else 404)
    assert picture.body.startswith(b"\x89PNG") == can["picture"]


def test_each_kind_of_run_takes_what_it_says_it_can(opened: Desk) -> None:
    app = make_app({"run": opened}, TOKEN, ORIGINS, who=lambda headers: "ada")
    about = ask(app, "/api/runs/run").json()
    case = "/api/runs/run/cases/test/1"
    shown = ask(app, case).json()
    unit = shown["units"][0]
    about_it = next(u for u in about["units"] if u["name"] == unit["name"])
    value = about_it["low"] if about_it["low"] is not None else 0.0
    done = post(app, f"{case}/corrections", {"known": {unit["name"]: value}})
    if about["can"]["correct"]:
        checked(shapes.Corrected, done)
        assert ask(app, case).json()["now"] == done.json()["now"]
        checked(shapes.Moved, post(app, "/api/runs/run/undo", {}))
        assert ask(app, case).json()["now"] == shown["now"]
        assert {e["who"] for e in ask(app, "/api/runs/run/log").json()["events"]} == {"ada"}
    else:
        assert done.status == 400
    prune = {"edits": [{"kind": "prune", "unit": unit["name"]}]}
    preview = post(app, "/api/runs/run/edits/preview", prune)
    assert preview.status == (200 if about["can"]["edit"] else 400)
    if about["can"]["edit"]:
        checked(shapes.Preview, preview)


def test_tables_of_a_real_run_are_refused_whole_where_one_line_is_wrong(opened: Desk) -> None:
    app = make_app({"run": opened}, TOKEN, ORIGINS)
    take = "/api/runs/run/corrections/import"
    if not ask(app, "/api/runs/run").json()["can"]["correct"]:
        assert post(app, take, {"csv": "split,row,id,unit,value\r\n"}).status in (200, 400)
        assert ask(app, "/api/runs/run/log").json()["total"] == 0
        return
    case = ask(app, "/api/runs/run/cases/test/1").json()
    names = [u["name"] for u in case["units"]]
    for name in names[:2]:
        done = post(app, "/api/runs/run/cases/test/1/corrections", {"known": {name: 0}})
        assert done.status == 200
    text = ask(app, "/api/runs/run/corrections.csv?form=list").body.decode()
    before = ask(app, "/api/runs/run/log").json()["total"]
    for bad in (text + text.splitlines()[-1].replace("test", "nothing") + "\r\n", "", "a,b\n1,2\n"):
        answer = post(app, take, {"csv": bad})
        assert answer.status in (400, 404), answer.body
    assert ask(app, "/api/runs/run/log").json()["total"] == before
