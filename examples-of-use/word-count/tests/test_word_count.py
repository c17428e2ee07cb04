"""The pipeline on the embedded stack: the real spec, the real code, and the official client."""

import json
import pathlib

import pytest
import python_pachyderm

SPEC = pathlib.Path(__file__).parents[1] / "pipelines" / "word-count.json"
TEXTS = {"project": "reading", "repo": "texts", "branch": "master"}
COUNTS = {"project": "reading", "repo": "word-count", "branch": "master"}


@pytest.fixture(scope="session")
def pachyderm(pdk_stack):
    """Pachyderm with the input repo and the pipeline."""
    client = pdk_stack.pachyderm
    client.create_project("reading")
    client.create_repo("texts", project_name="reading")
    spec = json.loads(SPEC.read_text())
    client.create_pipeline_from_request(python_pachyderm.parse_dict_pipeline_spec(spec))
    return client


def commit(client, **texts):
    """Commit texts by name, and wait for the pipeline's output."""
    with client.modify_file_client(TEXTS) as batch:
        for name, text in texts.items():
            batch.put_file_from_bytes(f"/{name}.txt", text.encode())
    client.wait_commit(COUNTS)


def counts(client, name):
    """The pipeline's output for one text."""
    return json.loads(client.get_file(COUNTS, f"/{name}.json").read())


def test_words_are_counted_whatever_their_case(pachyderm):
    commit(pachyderm, rose="A rose is a rose is a rose")
    assert counts(pachyderm, "rose") == {"a": 3, "is": 2, "rose": 3}


def test_a_new_text_leaves_the_others_alone(pachyderm):
    commit(pachyderm, first="one", second="two two")
    commit(pachyderm, third="three")
    assert [counts(pachyderm, name) for name in ("first", "second", "third")] == [{"one": 1}, {"two": 2}, {"three": 1}]
