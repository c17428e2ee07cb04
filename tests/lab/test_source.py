import subprocess
from pathlib import Path

import pytest

from pdk_nb.stages import source
from pdk_shared.errors import SourceError, UsageError


def git(folder, *arguments):
    return subprocess.run(["git", *arguments], cwd=folder, check=True, capture_output=True, text=True).stdout.strip()


@pytest.fixture
def repository(tmp_path):
    folder = tmp_path / "upstream repo"
    (folder / "examples" / "x").mkdir(parents=True)
    git(folder, "init", "-q", "-b", "main")
    git(folder, "config", "user.email", "a@example.com")
    git(folder, "config", "user.name", "A")
    (folder / "examples" / "x" / "const.yaml").write_text("v: 1\n")
    git(folder, "add", ".")
    git(folder, "commit", "-qm", "one")
    git(folder, "tag", "v1")
    (folder / "examples" / "x" / "const.yaml").write_text("v: 2\n")
    git(folder, "commit", "-qam", "two")
    return folder


def read(found):
    return (found.folder / "const.yaml").read_text()


@pytest.mark.parametrize("ref", ["main", "", "HEAD", "refs/heads/main"])
def test_a_branch_is_resolved_to_its_sha(repository, tmp_path, ref):
    found = source.fetch(repository.as_uri(), ref, "examples/x", tmp_path / "w")
    assert (read(found), found.sha) == ("v: 2\n", git(repository, "rev-parse", "HEAD"))


def test_tags_and_commits_full_or_short(repository, tmp_path):
    sha = git(repository, "rev-parse", "v1")
    for number, ref in enumerate(("v1", sha, sha[:10])):
        found = source.fetch(repository.as_uri(), ref, "/examples/x/", tmp_path / f"w{number}")
        assert (read(found), found.sha) == ("v: 1\n", sha)


def test_every_fetch_is_fresh(repository, tmp_path):
    source.fetch(str(repository), "main", "examples/x", tmp_path / "w")
    (repository / "examples" / "x" / "const.yaml").write_text("v: 3\n")
    uncommitted = source.fetch(str(repository), "main", "examples/x", tmp_path / "w")
    assert read(uncommitted) == "v: 2\n"
    assert "examples/x/const.yaml" in uncommitted.notes[0]
    git(repository, "commit", "-qam", "three")
    again = source.fetch(str(repository), "main", "examples/x", tmp_path / "w")
    assert (read(again), again.notes) == ("v: 3\n", ())


def test_unknown_refs_and_folders_name_what_there_is(repository, tmp_path):
    for ref in ("no-such-branch", "0123456789012345678901234567890123456789"):
        with pytest.raises(SourceError, match="doesn't exist") as caught:
            source.fetch(repository.as_uri(), ref, "examples/x", tmp_path / "w")
        assert "main" in caught.value.fix and "v1" in caught.value.fix
    with pytest.raises(SourceError, match="no folder 'example'") as caught:
        source.fetch(repository.as_uri(), "main", "example", tmp_path / "w")
    assert "examples" in caught.value.fix
    with pytest.raises(SourceError, match="leads out"):
        source.fetch(repository.as_uri(), "main", "../..", tmp_path / "w")
    with pytest.raises(SourceError, match="folder doesn't exist"):
        source.fetch((tmp_path / "absent").as_uri(), "main", "", tmp_path / "w")


def test_a_folder_without_history_is_named_by_its_contents(tmp_path):
    folder = tmp_path / "unpacked"
    (folder / "x" / "__pycache__").mkdir(parents=True)
    (folder / "x" / "const.yaml").write_text("v: 1\n")
    (folder / "x" / "__pycache__" / "a.pyc").write_bytes(b"1")
    first = source.fetch(folder.as_uri(), "main", "x", tmp_path / "w")
    assert read(first) == "v: 1\n"
    assert first.sha.startswith("sha256:") and "no git history" in first.notes[0]
    assert not (first.folder / "__pycache__").exists()
    (folder / "x" / "__pycache__" / "a.pyc").write_bytes(b"2")
    assert source.fetch(str(folder), "", "x", tmp_path / "w").sha == first.sha
    (folder / "x" / "const.yaml").write_text("v: 2\n")
    assert source.fetch(str(folder), "", "x", tmp_path / "w").sha != first.sha


@pytest.mark.parametrize(
    ("url", "plain"),
    [
        ("https://git@github.com:/determined-ai/pdk.git", "https://github.com/determined-ai/pdk.git"),
        ("https://user:secret@example.com:8443/x.git", "https://example.com:8443/x.git"),
        ("file:///a/b", "file:///a/b"),
    ],
)
def test_plain_urls(url, plain):
    assert source.plain_url(url) == plain


def test_an_unreachable_host_is_reported_without_its_token(tmp_path):
    with pytest.raises(SourceError, match="can't be fetched") as caught:
        source.fetch("http://me:s3cret@127.0.0.1:9/x.git", "main", "", tmp_path / "w")
    assert "s3cret" not in str(caught.value)


@pytest.mark.parametrize("call", [source.look_up, lambda url, ref: source.fetch(url, ref, "", Path(url).parent)])
def test_a_ref_cannot_be_an_option(repository, tmp_path, call):
    mark = tmp_path / "ran"
    with pytest.raises(UsageError, match="can't begin with '-'") as caught:
        call(str(repository), f"--upload-pack=touch '{mark}';")
    assert "--git-ref" in caught.value.fix and not mark.exists()


@pytest.mark.parametrize(
    "url", ["--upload-pack={}", "-u{}", "ext::sh -c 'touch {}; # x://'", "fd::3,4", "odd://host/{}"]
)
def test_a_url_cannot_be_an_option_or_a_command(tmp_path, monkeypatch, url):
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext:file")
    mark = tmp_path / "ran"
    for call in (source.look_up, lambda url, ref: source.fetch(url, ref, "", tmp_path / "w")):
        with pytest.raises(UsageError) as caught:
            call(url.format(mark), "main")
        assert "--git-url" in caught.value.fix
    assert not mark.exists()


def test_git_itself_refuses_commands_as_transports(tmp_path, monkeypatch):
    monkeypatch.setenv("GIT_ALLOW_PROTOCOL", "ext")
    mark = tmp_path / "ran"
    done = source._git(["ls-remote", "--", f"ext::touch {mark}"], tmp_path, "x", check=False)
    assert "not allowed" in done.stderr and not mark.exists()


def test_a_sub_folder_may_look_like_an_option(repository, tmp_path):
    (repository / "--help").mkdir()
    (repository / "--help" / "const.yaml").write_text("v: 4\n")
    git(repository, "add", ".")
    git(repository, "commit", "-qm", "three")
    assert read(source.fetch(str(repository), "main", "--help", tmp_path / "w")) == "v: 4\n"
