"""Building and pushing images: what the container tools are told, and what is remembered. The tools themselves are
tried by ``make images-test``; here small programs stand in for them and note how they were called."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from pdk_nb import cli, container_images, specs
from pdk_nb.container_images import building
from pdk_nb.container_images.engines import _bytes
from pdk_shared.errors import ImageError, UsageError

ROOT = Path(__file__).resolve().parents[2]
DIGEST = "sha256:" + "0123456789abcdef" * 4
REGISTRY = "127.0.0.1:5000/pdk"
ECR = "123456789012.dkr.ecr.us-east-2.amazonaws.com"
TOOL = """#!{python}
import json, os, sys
words = sys.argv[1:]
said = {{"tool": os.path.basename(sys.argv[0]), "words": words}}
if "login" in words:
    said["stdin"] = sys.stdin.read()
with open({log!r}, "a") as sink:
    sink.write(json.dumps(said) + "\\n")
if os.environ.get("TOOL_FAILS", "nothing") in words:
    sys.exit("the tool says no")
if "--digestfile" in words:
    open(words[words.index("--digestfile") + 1], "w").write({digest!r})
elif words[0] == "push":
    print("v1: digest: {digest} size: 1234")
elif "{{{{.Size}}}}" in words:
    print("1.5 GB")
"""


@pytest.fixture
def calls(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Programs called docker, podman and buildah; the file notes their calls."""
    log, folder = tmp_path / "calls", tmp_path / "bin"
    folder.mkdir()
    for name in container_images.ENGINES:
        program = folder / name
        program.write_text(TOOL.format(python=sys.executable, log=str(log), digest=DIGEST))
        program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}{os.pathsep}{os.environ['PATH']}")
    return log


def noted(log: Path, word: str) -> list[dict[str, Any]]:
    lines = [json.loads(line) for line in log.read_text().splitlines()] if log.exists() else []
    return [each for each in lines if word in each["words"]]


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout of its own with one commit, which is the working folder."""
    folder = tmp_path / "checkout"
    shutil.copytree(ROOT / "examples", folder / "examples", ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(ROOT / "images", folder / "images")
    (folder / "pdk_shared").mkdir()  # the source of a package makes it a checkout
    (folder / ".gitignore").write_text("build/\n")
    author = ["-c", "user.name=t", "-c", "user.email=t@example.com"]
    for words in (["init", "-q"], ["add", "."], [*author, "commit", "-q", "-m", "first"]):
        subprocess.run(["git", *words], cwd=folder, check=True)
    monkeypatch.chdir(folder)
    return folder


@pytest.mark.parametrize("name", container_images.ENGINES)
def test_each_tool_builds_and_pushes(name: str, calls: Path, checkout: Path, capsys: Any) -> None:
    where = ["--engine", name, "--json"]
    words = ["images", "build", "--registry", f"{REGISTRY}/", "--base-image", "localhost/base:1", *where]
    assert cli.main([*words, "--build-arg", "TORCH_INDEX=", "--engine-flag=--network=host"]) == 0
    built = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["stage"] for each in built] == ["train", "deploy"]
    assert [each["size"] for each in built] == [1_500_000_000] * 2
    build = noted(calls, "--file")[0]["words"]
    assert build[build.index("--platform") + 1] == "linux/amd64"
    assert build[build.index("--file") + 1] == str(checkout / "images" / "train" / "Dockerfile")
    assert build[build.index("--tag") + 1] == built[0]["image"]
    assert {"BASE_IMAGE=localhost/base:1", "TORCH_INDEX=", f"REVISION={built[0]['revision']}"} <= set(build)
    assert build[-2:] == ["--network=host", str(checkout)]
    # As a flag: Buildah takes the Dockerfile's label from an older build's layer.
    assert f"org.opencontainers.image.revision={built[0]['revision']}" in build
    assert build[build.index(f"org.opencontainers.image.revision={built[0]['revision']}") - 1] == "--label"
    assert ("buildx" in build) == (name == "docker")
    assert cli.main(["images", "push", *where]) == 0
    pushed = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [each["image"] for each in pushed] == [f"{REGISTRY}/pdk-lab-{stage}@{DIGEST}" for stage in specs.STAGES]
    assert pushed[0]["tag"] == built[0]["image"].rpartition(":")[2]
    for variant, names in specs.FILES.items():
        for spec, file, each in zip(specs.render(variant=variant), names, pushed, strict=True):
            assert spec["transform"]["image"] == each["image"]
            assert specs.read(checkout / "examples" / "dog-cat" / "pipelines" / file) == spec
    assert not noted(calls, "login")


@pytest.mark.parametrize("name", container_images.ENGINES)
def test_registries_without_a_certificate_that_everybody_knows(
    name: str, calls: Path, checkout: Path, tmp_path: Path, capsys: Any
) -> None:
    where = ["--engine", name]
    ca = tmp_path / "own-ca.pem"
    ca.write_text("-----BEGIN CERTIFICATE-----")
    assert cli.main(["images", "build", "deploy", "--registry", REGISTRY, *where]) == 0
    for flag, expected in (("--insecure-registry", "--tls-verify=false"), (f"--registry-ca={ca}", "--cert-dir=")):
        for verb in (["build", "deploy", "--registry", REGISTRY], ["push", "deploy"]):
            capsys.readouterr()
            assert cli.main(["images", *verb, *where, flag]) == (2 if name == "docker" else 0)
            if name == "docker":
                assert "daemon.json" in capsys.readouterr().err
            else:
                assert any(
                    word.startswith(expected)
                    for word in noted(calls, "--digestfile" if "push" in verb else "--file")[-1]["words"]
                )
    assert cli.main(["images", "push", "deploy", *where, "--registry-ca", str(tmp_path / "absent")]) == 2


def test_images_are_recorded_in_the_checkout_one_stands_in(calls: Path, checkout: Path, capsys: Any) -> None:
    before = (ROOT / "examples" / "dog-cat" / "pipelines" / "deployment-pipeline.json").read_text()
    assert cli.main(["images", "build", "deploy", "--registry", REGISTRY]) == 0
    assert cli.main(["images", "push", "deploy"]) == 0
    assert DIGEST in (checkout / "examples" / "dog-cat" / "pipelines" / "deployment-pipeline.json").read_text()
    assert (ROOT / "examples" / "dog-cat" / "pipelines" / "deployment-pipeline.json").read_text() == before


def test_one_stage_alone(calls: Path, checkout: Path, capsys: Any) -> None:
    assert cli.main(["images", "push", "deploy"]) == 2
    assert "pdk-nb images build deploy" in capsys.readouterr().err
    assert cli.main(["images", "build", "deploy", "--registry", REGISTRY]) == 0
    assert cli.main(["images", "push", "deploy"]) == 0
    assert [each["tool"] for each in noted(calls, "--file")] == ["docker"]
    train, deploy = specs.render()
    assert deploy["transform"]["image"] == f"{REGISTRY}/pdk-lab-deploy@{DIGEST}"
    assert "@" not in train["transform"]["image"]
    assert cli.main(["images", "build", "predict", "--registry", REGISTRY]) == 2
    assert "no image 'predict'" in capsys.readouterr().err


def test_a_tag_is_never_used_twice(checkout: Path) -> None:
    revision = building.revision_of(checkout)
    assert len(revision) == 40
    tag = container_images.unique_tag(revision, 0)
    assert tag.endswith(f"-19700101-000000-{revision[:8]}")
    assert container_images.unique_tag(revision, 1) != tag
    (checkout / "images" / "train" / "train.py").write_text("changed")
    assert container_images.unique_tag(building.revision_of(checkout), 0) == f"{tag}-dirty"
    assert building.revision_of(Path("/")) == "unknown"


@pytest.mark.parametrize(
    "registry", ["", "https://registry.example.com/pdk", "Registry.example.com/PDK", "a b", "embedded"]
)
def test_a_registry_is_checked_before_the_build(registry: str, calls: Path, checkout: Path) -> None:
    with pytest.raises(UsageError, match="isn't the address"):
        container_images.build(checkout, container_images.find_engine("podman"), registry, progress=lambda line: None)
    assert not noted(calls, "--file")


@pytest.mark.parametrize("registry", [REGISTRY, "localhost/x", "registry:5000", "docker.io/ada", f"{ECR}/a/b"])
def test_names_of_registries(registry: str) -> None:
    assert building.REGISTRY.fullmatch(registry)


def test_a_failed_build_shows_why(calls: Path, checkout: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any) -> None:
    monkeypatch.setenv("TOOL_FAILS", "--file")
    assert cli.main(["images", "build", "train", "--registry", REGISTRY]) == 1
    assert "the tool says no" in capsys.readouterr().err
    assert container_images.built_images(checkout) == []


def test_no_registry_is_named(calls: Path, checkout: Path, tmp_path: Path, capsys: Any) -> None:
    assert cli.main(["images", "build", "--kubeconfig", str(tmp_path / "nope")]) == 2
    assert "--registry" in capsys.readouterr().err


def test_the_first_tool_that_answers_is_taken(calls: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert container_images.find_engine().name == "docker"
    # Docker without its daemon, and docker without buildx.
    for missing in ("{{.Server.Version}}", "buildx"):
        monkeypatch.setenv("TOOL_FAILS", missing)
        assert container_images.find_engine().name == "podman"
        with pytest.raises(ImageError, match="buildx"):
            container_images.find_engine("docker")
    with pytest.raises(UsageError, match="nerdctl"):
        container_images.find_engine("nerdctl")
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(ImageError, match="no container tool"):
        container_images.find_engine()


@pytest.fixture
def ecr(monkeypatch: pytest.MonkeyPatch) -> Iterator[Any]:
    import boto3
    from moto import mock_aws

    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.setenv(name, "testing")
    with mock_aws():
        yield boto3.client("ecr", region_name="us-east-2")


def test_amazons_registry_is_logged_in_to_and_given_its_repositories(calls: Path, checkout: Path, ecr: Any) -> None:
    registry = container_images.ecr_registry(f"{ECR}/lab")
    assert registry is not None
    assert (registry.account, registry.region) == ("123456789012", "us-east-2")
    built = [container_images.Built(stage, f"{ECR}/lab/pdk-lab-{stage}:1", "r", 0) for stage in specs.STAGES]
    said: list[str] = []
    pushed = container_images.push(built, container_images.find_engine("podman"), progress=said.append)
    assert [each.image for each in pushed] == [f"{ECR}/lab/pdk-lab-{stage}@{DIGEST}" for stage in specs.STAGES]
    made = {each["repositoryName"]: each["imageTagMutability"] for each in ecr.describe_repositories()["repositories"]}
    assert made == {"lab/pdk-lab-train": "IMMUTABLE", "lab/pdk-lab-deploy": "IMMUTABLE"}
    logins = noted(calls, "login")
    assert len(logins) == 1
    assert logins[0]["words"] == ["login", "--username", "AWS", "--password-stdin", ECR]
    # The password is on standard input and in no list of processes.
    assert logins[0]["stdin"] and logins[0]["stdin"] not in shlex.join(logins[0]["words"])
    assert registry.ensure_repository(f"{ECR}/lab/pdk-lab-train") is False
    assert sum(line.startswith("Created the repository") for line in said) == 2


def test_amazons_refusal_says_what_is_needed(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in list(os.environ):
        if name.startswith("AWS_"):
            monkeypatch.delenv(name)
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    monkeypatch.setattr("boto3.DEFAULT_SESSION", None)
    registry = container_images.ecr_registry(ECR)
    assert registry is not None
    for call in (registry.credentials, lambda: registry.ensure_repository(f"{ECR}/lab/x")):
        with pytest.raises(ImageError, match="redentials") as raised:
            call()
        assert "get-caller-identity" in raised.value.fix


@pytest.mark.parametrize("registry", [REGISTRY, "us-central1-docker.pkg.dev/p/r", f"{ECR}.evil.example.com/lab"])
def test_other_registries_are_not_amazons(registry: str) -> None:
    assert container_images.ecr_registry(registry) is None


@pytest.mark.parametrize(("text", "size"), [("123", 123), ("1.5 GB", 1_500_000_000), ("340 MB", 340_000_000), ("", 0)])
def test_sizes_as_the_tools_write_them(text: str, size: int) -> None:
    assert _bytes(text) == size


def test_the_images_install_what_the_project_says(tmp_path: Path) -> None:
    script = ROOT / "images" / "requirements.py"
    if sys.version_info < (3, 11):
        pytest.skip("the images stand on Python 3.11")
    words = [sys.executable, str(script), str(ROOT / "pyproject.toml")]
    train, deploy = (
        subprocess.run([*words, *more], capture_output=True, text=True, check=True).stdout.split("\n")
        for more in (["core"], ["core", "deploy"])
    )
    assert "determined==0.38.1" in train and not any(line.startswith(("torch", "kserve")) for line in train)
    assert set(train) < set(deploy)
    assert any(line.startswith("torch==") for line in deploy) and not any(line.startswith("kserve") for line in deploy)


def test_nothing_of_the_gpus_is_left(tmp_path: Path) -> None:
    files = {
        "triton/compiler.py": False,
        "nvidia/cudnn/lib/libcudnn_engines_precompiled.so.9": False,
        "nvidia/cu13/lib/libcusolverMg.so.12": False,
        # Linked with torch.
        "nvidia/cudnn/lib/libcudnn.so.9": True,
        "nvidia/cu13/lib/libcublas.so.13": True,
        "torch/__init__.py": True,
    }
    for name in files:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"x" * 1_000_000)
    code = "import runpy, sysconfig; sysconfig.get_path = lambda name: {!r}; runpy.run_path({!r}, run_name='__main__')"
    script = str(ROOT / "images" / "deploy" / "drop_gpu_files.py")
    done = subprocess.run(
        [
            sys.executable,
            "-S",
            "-c",
            "import site; site.getsitepackages = lambda: []; " + code.format(str(tmp_path), script),
        ],
        capture_output=True,
        text=True,
        check=True,
    )
    assert "removed 3 MB" in done.stdout
    assert {name: (tmp_path / name).exists() for name in files} == files


def test_the_consoles_image_is_built_only_by_name_and_is_no_pipelines(calls: Path, checkout: Path, capsys: Any) -> None:
    before = {path: path.read_bytes() for path in (checkout / "examples").rglob("*.json")}
    assert cli.main(["images", "build", "console", "--registry", REGISTRY]) == 0
    said = capsys.readouterr()
    assert said.out.startswith(f"{REGISTRY}/pdk-lab-console:") and "Next: pdk-nb images push console" in said.err
    (build,) = noted(calls, "--file")
    assert build["words"][build["words"].index("--file") + 1] == str(checkout / "images" / "console" / "Dockerfile")
    assert cli.main(["images", "push", "console"]) == 0
    said = capsys.readouterr()
    assert said.out.strip() == f"{REGISTRY}/pdk-lab-console@{DIGEST}"
    # It says how to use it; the pipelines stay as they are.
    assert f"image: {REGISTRY}/pdk-lab-console@{DIGEST}#' docs/cluster/console.yaml" in said.err
    assert {path: path.read_bytes() for path in (checkout / "examples").rglob("*.json")} == before
    assert cli.main(["images", "build", "consul", "--registry", REGISTRY]) == 2
    assert "Use train, deploy, console" in capsys.readouterr().err
