"""Writes docs/det-commands.md: what the ``det`` commands of a PDK user answer here.

python -m tests.stack.determined.commands
"""

from __future__ import annotations

import os
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from tests.stack.determined.client import det
from tests.stack.determined.conftest import EXPERIMENTS, connect, new_master, tiny, wait_end
from tests.support.processes import ServiceProcess

PAGE = Path(__file__).resolve().parents[3] / "docs" / "det-commands.md"


@dataclass(frozen=True)
class Command:
    """One command line, and a part of what it must print.

    Attributes:
        refused: It fails and says why.
        admin: The administrator runs it.
    """

    line: str
    prints: str
    refused: bool = False
    admin: bool = False


COMMANDS = [
    Command("user whoami", "You are logged in as user 'determined'"),
    Command("user list", "admin"),
    Command("version", "0.38.1"),
    Command("master info", "PDK Lab, embedded"),
    Command("master config show", "checkpoint_storage", admin=True),
    Command("master logs", "slots"),
    Command("experiment list", "COMPLETED"),
    Command("experiment list --all", "tiny"),
    Command("experiment describe 1", "COMPLETED"),
    Command("experiment describe 1 --json", '"searcherType"'),
    Command("experiment config 1", "validation_loss"),
    Command("experiment list-trials 1", "learning_rate"),
    Command("experiment list-checkpoints 1", "state_dict.pth"),
    Command("experiment logs 1 --tail 2", "zero exit code"),
    Command("experiment wait 1", ""),
    Command("experiment label add 1 good", "Added label 'good'"),
    Command("experiment label remove 1 good", "Removed label 'good'"),
    Command("experiment set name 1 renamed", "Set name of experiment 1"),
    Command("experiment set description 1 text", "Set description of experiment 1"),
    Command(
        "experiment set gc-policy 1 --save-experiment-best 1 --save-trial-best 1 --save-trial-latest 1 --yes",
        "Set GC policy",
    ),
    Command("experiment download 1 -o {out}/experiment", "Local checkpoint path"),
    Command("experiment download-model-def 1 --output-dir {out}", ""),
    Command("experiment create {out}/config.yaml {code} --paused", "Created experiment 2"),
    Command("experiment set priority 2 20", "Set `priority` of experiment 2"),
    Command("experiment activate 2", "Activated experiment 2"),
    Command("job list", "tiny"),
    Command("task list", "Allocation ID"),
    Command("experiment pause 2", "Paused experiment 2"),
    Command("experiment cancel 2", "Canceled experiment 2"),
    Command("experiment kill 2", "Killed experiment 2"),
    Command("experiment archive 1", "Archived experiment 1"),
    Command("experiment unarchive 1", "Unarchived experiment 1"),
    Command("experiment delete-tb-files 1", ""),
    Command("experiment delete 2 --yes", "Deletion of experiment 2"),
    Command("preview-search {out}/search.yaml", "Trials"),
    Command("trial describe 1", "learning_rate"),
    Command("trial describe 1 --metrics", "validation_loss"),
    Command("trial logs 1 --head 1", "Scheduling Trial 1"),
    Command("trial download 1 --latest -o {out}/latest", "No downloadable checkpoint", refused=True),
    Command("trial kill 1", "experiment '1' not found", refused=True),
    Command("checkpoint describe {checkpoint}", "{checkpoint}"),
    Command("checkpoint download {checkpoint} -o {out}/direct", "Local checkpoint path"),
    Command("checkpoint download {checkpoint} --mode master -o {out}/through", "Local checkpoint path"),
    Command("model create dogs", "dogs"),
    Command("model register-version dogs {checkpoint}", "{checkpoint}"),
    Command("model list", "dogs"),
    Command("model describe dogs", "{checkpoint}"),
    Command("model list-versions dogs", "{checkpoint}"),
    Command("checkpoint delete {checkpoint} --yes", "model registry", refused=True),
    Command("checkpoint rm {checkpoint} --glob nothing --yes", "model registry", refused=True),
    Command("workspace create demos", "demos"),
    Command("workspace list", "demos"),
    Command("workspace describe demos", "demos"),
    Command("project create demos pets", "pets"),
    Command("project list demos", "pets"),
    Command("workspace list-projects demos", "pets"),
    Command("project describe demos pets", "pets"),
    Command("experiment move 1 demos pets", "Moved experiment 1"),
    Command("project list-experiments demos pets", "renamed"),
    Command("project edit demos pets --new_name cats", "cats"),
    Command("project archive demos cats", ""),
    Command("project unarchive demos cats", ""),
    Command("workspace list-pools demos", "default"),
    Command("model move --workspace-name demos dogs", ""),
    Command("workspace archive demos", "archived"),
    Command("workspace unarchive demos", "archived"),
    Command("workspace edit demos --name shows", "shows"),
    Command("template set quick {out}/template.yaml", "Set template quick"),
    Command("template list", "quick"),
    Command("template describe quick", "max_restarts"),
    Command("template remove quick", "Removed template quick"),
    Command("agent list", "embedded-agent"),
    Command("slot list", "cpu"),
    Command("slot disable embedded-agent 1", "Disabled slot 1", admin=True),
    Command("slot enable embedded-agent 1", "Enabled slot 1", admin=True),
    Command("agent disable embedded-agent --drain", "Disabled agent embedded-agent", admin=True),
    Command("agent enable embedded-agent", "Enabled agent embedded-agent", admin=True),
    Command("agent disable embedded-agent", "user does not have permission", refused=True),
    Command("user create eve --password Eve-pass-1", "", admin=True),
    Command("user edit eve --display-name Eve", "", admin=True),
    Command("user create mallory --password Mal-pass-1", "only admin", refused=True),
    Command("rp bindings list-workspaces default", "default"),
    Command("dev curl /api/v1/me", '"determined"'),
    Command("command list", "does not implement GET /api/v1/commands", refused=True),
    Command("command run true", "does not implement POST /api/v1/commands", refused=True),
    Command("token create determined --expiration-days 5 --description ci", "Access-Token: ", admin=True),
    Command("token list", "ci"),
    Command("token describe 1", "ACCESS_TOKEN"),
    Command("token edit 1 --description night", "night", admin=True),
    Command("token revoke 1", "Successfully revoked token 1", admin=True),
    Command("token create", "only admin privileged users", refused=True),
    Command("master cluster-message set -m tonight -d 1h", "", admin=True),
    Command("master cluster-message get", "tonight", admin=True),
    Command("master cluster-message clear", "", admin=True),
    Command("user rename eve eva", "", admin=True),
    Command("user deactivate eva", "", admin=True),
    Command("user activate eva", "", admin=True),
    Command("user link-with-agent-user eva --agent-uid 1 --agent-user u --agent-gid 1 --agent-group g", "", admin=True),
    Command("user-group list", "require the Determined Enterprise Edition", refused=True),
    Command("rbac my-permissions", "require the Determined Enterprise Edition", refused=True),
    Command("notebook list", "does not implement GET /api/v1/notebooks", refused=True),
    Command("tensorboard list", "does not implement GET /api/v1/tensorboards", refused=True),
    Command("shell list", "does not implement GET /api/v1/shells", refused=True),
]
#: Commands that fail for a reason that is the client's own.
REASONS = {
    "trial download": "the client counts its own list down to nothing and then finds no checkpoint",
    "trial kill": "the experiment has ended",
    "checkpoint delete": "registered checkpoints are never deleted",
    "checkpoint rm": "registered checkpoints are never deleted",
    "agent disable": "only administrators may do that",
    "user create": "only administrators may do that",
    "token create": "only administrators may do that",
    "user-group": "the client asks for the Enterprise Edition",
    "rbac": "the client asks for the Enterprise Edition",
}


def prepare(master: ServiceProcess, folder: Path) -> dict[str, str]:
    """One finished experiment, and files for the commands; what stands for ``{names}``."""
    experiment = connect(master).create_experiment(tiny(10), str(EXPERIMENTS / "tiny"))
    assert wait_end(experiment) == "COMPLETED"
    (folder / "config.yaml").write_text(yaml.safe_dump(tiny(10)))
    search = tiny(10, searcher={"name": "random", "metric": "validation_loss", "max_trials": 4})
    (folder / "search.yaml").write_text(yaml.safe_dump(search))
    (folder / "template.yaml").write_text("max_restarts: 1\n")
    checkpoint = experiment.list_checkpoints()[0].uuid
    return {"out": str(folder), "code": str(EXPERIMENTS / "tiny"), "checkpoint": checkpoint}


def run(master: ServiceProcess, command: Command, names: dict[str, str]) -> tuple[int, str]:
    """Exit code and output of a command."""
    # The names stand for folders, which may hold spaces.
    words = [word.format(**names) for word in command.line.split()]
    return det(master, *words, admin=command.admin)


def problem(command: Command, code: int, output: str, names: dict[str, str]) -> str:
    """What is wrong with an answer; empty when nothing is."""
    if bool(code) != command.refused:
        return f"det {command.line}: exit code {code}\n{output[-1500:]}"
    wanted = command.prints.format(**names)
    return "" if wanted in output else f"det {command.line}: {wanted!r} is not in\n{output[-1500:]}"


def page() -> str:
    """The page's text."""
    lines = [
        "# `det` on the embedded stack",
        "",
        'After `eval "$(pdk-nb env)"`, the client\'s `det` command needs no further settings. A test runs each of',
        "these lines against a master with a finished experiment, and checks what it prints.",
        "",
        "| Command | Answer |",
        "|---|---|",
    ]
    for command in COMMANDS:
        answer = "works, for administrators" if command.admin else "works"
        if command.refused:
            reason = next((text for word, text in REASONS.items() if word in command.line), "not part of this master")
            answer = f"fails: {reason}"
        shown = command.line.replace("{out}", "DIR").replace("{code}", "CODE").replace("{checkpoint}", "UUID")
        lines.append(f"| `det {shown}` | {answer} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Run all commands, then write the page."""
    with tempfile.TemporaryDirectory() as name:
        folder: Any = Path(name)
        os.environ["DET_DEBUG_CONFIG_PATH"] = str(folder / "client")
        master = new_master(folder / "master").start()
        try:
            names = prepare(master, folder)
            for command in COMMANDS:
                found = problem(command, *run(master, command, names), names)
                print("FAILED" if found else "ok", command.line, found)
        finally:
            master.stop()
    PAGE.write_text(page())


if __name__ == "__main__":
    main()
