"""The fuzzing harness finds what is wrong, and shows it small."""

from __future__ import annotations

import json
import random
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from tests.fuzz import by_openapi, determined, s3
from tests.fuzz.asking import Asker, Case
from tests.fuzz.values import by_schema, confused, smaller

TRACEBACK = """Traceback (most recent call last):
  File "/x/pdk_stack/determined/api/users.py", line 7, in answer
    return user["name"]
KeyError: 'name'
"""


class Faulty(BaseHTTPRequestHandler):
    """Fails in one way or another at a field named ``bad``."""

    log: Path

    def do_POST(self) -> None:
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        bad = body.get("bad") if isinstance(body, dict) else None
        status, answer = 200, {}
        if bad == "broken":
            status, answer = 500, {"message": f"it broke at {len(body)}"}
        elif bad == "python":
            status, answer = 400, {"message": "'NoneType' object has no attribute 'x'"}
        elif bad == "absent":
            status, answer = 501, {"message": "not implemented"}
        elif bad == "raises":
            with self.log.open("a") as sink:
                sink.write(TRACEBACK)
        elif bad == "closes":
            self.close_connection = True
            return
        content = json.dumps(answer).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def asker(tmp_path: Path) -> Iterator[Asker]:
    Faulty.log = tmp_path / "log"
    Faulty.log.touch()
    server = ThreadingHTTPServer(("127.0.0.1", 0), Faulty)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield Asker(f"http://127.0.0.1:{server.server_port}", {}, Faulty.log)
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize(
    ("bad", "kind"),
    [
        ("fine", ""),
        ("absent", ""),
        ("broken", "POST x: 500: it broke at …"),
        ("python", "POST x: 400 in Python's words: … object has no attribute …"),
        ("raises", "traceback in pdk_stack/determined/api/users.py answer: KeyError: …"),
        ("closes", "POST x: no answer: RemoteDisconnected: Remote end closed connection without response"),
    ],
)
def test_what_is_wrong_is_found_and_shown_small(asker: Asker, bad: str, kind: str) -> None:
    body = {"other": [1, {"deep": "er"}], "bad": bad, "more": {"a": {}}}
    for _ in range(2):
        asker.ask(Case("POST x", "POST", "/x", body=body))
    assert list(asker.findings) == ([kind] if kind else [])
    for found in asker.findings.values():
        assert (found.times, found.case.body) == (2, body if bad == "closes" else {"bad": bad})


def test_requests_come_from_the_seed() -> None:
    for cases in (determined.cases, s3.cases):
        first, again, other = (
            [str(next(made)) for _ in range(50)] for made in (cases(random.Random(seed)) for seed in (1, 1, 2))
        )
        assert first == again != other


def test_a_document_makes_every_call_in_turn() -> None:
    document = determined.document()
    asked = [each for path in document["paths"].values() for each in path.values()]
    names = [each["operationId"] for each in asked]
    assert len(set(names)) == len(names) > 200 and not determined.LEFT_OUT & set(names)
    few = {"GetExperiment", "PostModel"}
    made = [by_openapi.cases([document], 1, set(names) - few) for _ in range(2)]
    first, again = ([next(each) for _ in range(20)] for each in made)
    assert [str(case) for case in first] == [str(case) for case in again]
    assert {case.call for case in first} == few
    assert {type(case.body) for case in first if case.call == "PostModel"} > {dict}


def test_confused_objects_leave_the_good_one_alone() -> None:
    good = {"a": [1, {"b": "c"}], "d": {"e": None}}
    text = json.dumps(good)
    chance = random.Random(1)
    made = {json.dumps(confused(chance, good)) for _ in range(200)}
    assert len(made) > 150 and json.dumps(good) == text


def test_smaller_values_are_simpler() -> None:
    found = list(smaller({"a": {"b": "text"}, "c": 7}))
    assert found == [
        {"c": 7},
        {"a": {"b": "text"}},
        {"a": {}, "c": 7},
        {"a": {"b": ""}, "c": 7},
        {"a": {"b": "text"}, "c": 0},
    ]


def test_values_follow_a_schema() -> None:
    schemas = {"Inner": {"type": "object", "properties": {"n": {"type": "integer"}}, "required": ["n"]}}
    schema = {
        "type": "object",
        "required": ["inner", "list"],
        "properties": {
            "inner": {"$ref": "#/components/schemas/Inner"},
            "list": {"type": "array", "items": {"enum": ["x"]}},
        },
    }
    chance = random.Random(1)
    for _ in range(50):
        made = by_schema(chance, schema, schemas)
        assert isinstance(made["inner"]["n"], int) and set(made["list"]) <= {"x"}
