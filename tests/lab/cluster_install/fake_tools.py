"""docker, podman, kind, k3d, and helm in one script: each records its calls, and answers as the real one does.

A test puts copies of it on the PATH under these names. It imports little, so that a call takes 20 ms.
State lies in FAKE_TOOLS, a folder:

* ``calls.jsonl``: every call, with what it read from standard input
* ``state.json``: clusters, containers, releases, and pushed images
* ``fail.json``: failures to play, by the beginning of a call: how often (-1: always), and the message
"""

import json
import os
import re
import sys

FOLDER = os.environ.get("FAKE_TOOLS", "")
# What each chart makes: workloads and Services that the installer looks for.
WORKLOADS = {
    "cert-manager": ["Deployment cert-manager", "Deployment cert-manager-webhook"],
    "traefik": ["Deployment traefik"],
    "kserve": ["Deployment kserve-controller-manager"],
    "kserve-crd": [],
    "pachyderm": ["Deployment pachd", "StatefulSet etcd"],
    "determined": ["Deployment determined-master-deployment-determined"],
}
LABELS = {"cert-manager": {"app.kubernetes.io/name": "cert-manager"}}
SERVICES = {
    "pachyderm": [("pachd", 30600, {}), ("pachyderm-proxy", 80, {})],
    "determined": [("determined-master-service-determined", 8080, {"determined.ai/master-service": "true"})],
    "traefik": [("traefik", 8081, {"app.kubernetes.io/name": "traefik"})],
}


def read(path):
    with open(path) as file:
        return file.read()


def load(name, empty):
    path = f"{FOLDER}/{name}"
    return json.loads(read(path)) if os.path.exists(path) else empty


def save(name, content):
    # In one move: the fake cluster reads it at any time.
    with open(f"{FOLDER}/{name}.new", "w") as file:
        json.dump(content, file)
    os.replace(f"{FOLDER}/{name}.new", f"{FOLDER}/{name}")


def die(message, code=1):
    print(message, file=sys.stderr)
    raise SystemExit(code)


def option(arguments, name):
    return arguments[arguments.index(name) + 1] if name in arguments else ""


def workloads(release):
    found = []
    for each in WORKLOADS[release["chart"]]:
        kind, _, name = each.partition(" ")
        meta = {"name": name, "namespace": release["namespace"], "labels": LABELS.get(release["chart"], {})}
        spec = {"replicas": 1, "selector": {"matchLabels": {"app": name}}}
        found.append({"apiVersion": "apps/v1", "kind": kind, "metadata": meta, "spec": spec})
    return found


def objects(release):
    """What the cluster has after a release."""
    found = workloads(release)
    for name, port, labels in SERVICES.get(release["chart"], []):
        meta = {"name": name, "namespace": release["namespace"], "labels": labels}
        ports = [{"port": port, "nodePort": 30000 + port % 1000}]
        spec = {"type": "LoadBalancer", "ports": ports}
        found.append({"apiVersion": "v1", "kind": "Service", "metadata": meta, "spec": spec})
    return found


def helm(arguments, state):
    releases = state["releases"]
    if arguments[0] == "version":
        return print("v3.20.2+g8fb76d6")
    verb, namespace = arguments[0], option(arguments, "--namespace")
    if verb == "upgrade":
        name, chart = arguments[2], arguments[3]
        if os.path.isdir(chart):
            chart = re.search(r"^name: *(\S+)", read(f"{chart}/Chart.yaml"), re.MULTILINE)[1]
        values = [read(path) for flag, path in zip(arguments, arguments[1:], strict=False) if flag == "--values"]
        release = {"name": name, "chart": chart.rpartition("/")[2], "namespace": namespace, "values": values}
        # Like Helm's, the objects stay when the installation fails in the middle.
        releases[f"{namespace}/{name}"] = {**release, "status": "failed"}
        save("state.json", state)
        failing("helm", arguments)
        releases[f"{namespace}/{name}"]["status"] = "deployed"
        return print(f'Release "{name}" has been upgraded. Happy Helming!')
    key = f"{namespace}/{arguments[2] if verb == 'get' else arguments[1]}"
    if key not in releases:
        die("Error: release: not found")
    release = releases[key]
    if verb == "status":
        return print(json.dumps({"name": release["name"], "info": {"status": release["status"]}}))
    if verb == "get":
        return print("\n---\n".join(map(json.dumps, workloads(release))))  # JSON is YAML
    if verb == "uninstall":
        del releases[key]
        return print(f'release "{release["name"]}" uninstalled')
    die(f"Error: unknown command {verb}")


def kubeconfig():
    return read(f"{FOLDER}/kubeconfig")


def kind(arguments, state):
    if arguments[0] == "version":
        return print("kind v0.31.0 go1.25.5 linux/amd64")
    if arguments[:2] == ["get", "clusters"]:
        return print("\n".join(state["clusters"]) or "No kind clusters found.")
    if arguments[:2] == ["get", "kubeconfig"]:
        return print(kubeconfig())
    name = option(arguments, "--name")
    if arguments[:2] == ["create", "cluster"]:
        if name in state["clusters"]:
            die(f'ERROR: failed to create cluster: node(s) already exist for a cluster with the name "{name}"')
        state["clusters"].append(name)
        state["containers"][f"{name}-control-plane"] = {"running": "true", "label": "", "networks": ["kind"]}
        state["config"] = read(option(arguments, "--config"))
    if arguments[:2] == ["delete", "cluster"]:
        state["clusters"].remove(name)
        state["containers"].pop(f"{name}-control-plane", None)


def k3d(arguments, state):
    if arguments[0] == "version":
        return print("k3d version v5.8.3\nk3s version v1.31.5-k3s1 (default)")
    if arguments[:2] == ["cluster", "list"]:
        return print(json.dumps([{"name": each} for each in state["clusters"]]))
    if arguments[:2] == ["kubeconfig", "get"]:
        return print(kubeconfig())
    if arguments[:2] == ["cluster", "create"]:
        state["clusters"].append(arguments[2])
        networks = [f"k3d-{arguments[2]}"]
        state["containers"][f"k3d-{arguments[2]}-server-0"] = {"running": "true", "label": "", "networks": networks}
    if arguments[:2] == ["cluster", "delete"]:
        state["clusters"].remove(arguments[2])


def docker(arguments, state):
    containers = state["containers"]
    if arguments[0] == "version":
        return print("28.3.0")
    if arguments[:2] == ["buildx", "version"]:
        return print("github.com/docker/buildx v0.25.0")
    if arguments[0] == "info":
        return print(json.dumps({"ServerVersion": "28.3.0", "MemTotal": state["memory"], "NCPU": 4,
                                 "DockerRootDir": "/"}))  # fmt: skip
    if arguments[:2] == ["container", "inspect"]:
        name, form = arguments[-1], arguments[3]
        if name not in containers:
            die(f"Error response from daemon: No such container: {name}")
        each = containers[name]
        if "Networks" in form:
            wanted = form.split('"')[1]
            return print("{}" if wanted in each["networks"] else "<nil>")
        shown = [each["running"]] if "Running" in form else []
        return print(" ".join([*shown, *([each["label"]] if "Labels" in form else [])]))
    if arguments[0] == "run":
        label = option(arguments, "--label").partition("=")[2]
        containers[option(arguments, "--name")] = {"running": "true", "label": label, "networks": ["bridge"]}
        return print("0123456789ab")
    if arguments[0] == "start":
        containers[arguments[1]]["running"] = "true"
    if arguments[:2] == ["network", "connect"]:
        containers[arguments[3]]["networks"].append(arguments[2])
    if arguments[0] == "rm":
        containers.pop(arguments[-1], None)
    if arguments[0] == "push":
        state["pushed"].append(arguments[-1])
        return print(f"latest: digest: sha256:{'a' * 64} size: 1234")
    if arguments[:2] == ["image", "inspect"]:
        return print("1000000")


def podman(arguments, state):
    if arguments[0] == "push":
        state["pushed"].append(arguments[-1])
        with open(option(arguments, "--digestfile"), "w") as file:
            file.write(f"sha256:{'b' * 64}")
    if arguments[:2] == ["image", "inspect"]:
        return print("1000000")


def failing(name, arguments):
    """Play a failure that a test asked for."""
    failures = load("fail.json", {})
    for start, (times, message) in failures.items():
        if " ".join([name, *arguments]).startswith(start) and times:
            failures[start] = [times - 1, message]
            save("fail.json", failures)
            die(message)


def main():
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    asks = "inspect" in arguments or arguments[:1] in (["version"], ["info"], ["status"], ["get"])
    text = sys.stdin.read() if not sys.stdin.isatty() else ""
    with open(f"{FOLDER}/calls.jsonl", "a") as file:
        file.write(json.dumps({"name": name, "arguments": arguments, "text": text, "asks": asks}) + "\n")
    state = load("state.json", {})
    for key, empty in (("clusters", []), ("containers", {}), ("releases", {}), ("pushed", []), ("memory", 16 << 30)):
        state.setdefault(key, empty)
    if name != "helm":
        failing(name, arguments)
    {"helm": helm, "kind": kind, "k3d": k3d, "docker": docker, "podman": podman}[name](arguments, state)
    save("state.json", state)


if __name__ == "__main__":
    main()
