"""Pipeline specs: ``specs render``, ``specs check``, and ``specs diff``."""

from __future__ import annotations

import argparse
from pathlib import Path

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say
from pdk_nb.counting import counted
from pdk_nb.names import Names
from pdk_shared.errors import PdkError, UsageError

# As diff(1): 0 the same, 1 different, 2 an error.
TROUBLE = 2


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    specs = commands.add_parser("specs", help="render, check, and compare the pipeline specs")
    verbs = specs.add_subparsers(dest="verb", required=True, metavar="VERB")
    render = verbs.add_parser(
        "render",
        parents=[options.state, options.cluster, options.person],
        help="write the specs: all four next to the example, or the two of a cluster",
    )
    render.add_argument("--cluster", action="store_true", help="with the values of the cluster's pdk-config")
    render.add_argument("--out", type=Path, metavar="DIR", help="folder to write to (default: the example's pipelines)")
    render.set_defaults(handler=command_render)
    check = verbs.add_parser("check", help="check that a train and a deploy spec agree")
    check.add_argument("train", type=Path, metavar="TRAIN.json")
    check.add_argument("deploy", type=Path, metavar="DEPLOY.json")
    check.set_defaults(handler=command_check)
    diff = verbs.add_parser(
        "diff",
        parents=[options.state, options.cluster, options.person],
        help="show what an update would change on the cluster; exit code as in diff: 0 nothing, 1 changes, 2 an error",
    )
    diff.add_argument("files", nargs="*", type=Path, metavar="FILE", help="specs to compare (default: rendered ones)")
    diff.set_defaults(handler=command_diff)


def command_render(args: argparse.Namespace) -> int:
    """``pdk-nb specs render``."""
    from pdk_nb import settings, specs

    if args.kubeconfig and not args.cluster:
        raise UsageError("--kubeconfig has no effect without --cluster.", where="pdk-nb specs render")
    if not args.cluster:
        for path in specs.write(Names.chosen(example=args.example).example, args.out):
            print(path)
        return 0
    known = settings.load(kubeconfig_of(args), args.namespace)
    pair = specs.render_for(known, Names.chosen(args.participant, args.example))
    folder = args.out or Path.cwd()
    folder.mkdir(parents=True, exist_ok=True)
    for name, spec in zip(specs.FILES[specs.variant_for(known)], pair, strict=True):
        (folder / name).write_text(specs.text(spec))
        print(folder / name)
    return 0


def command_check(args: argparse.Namespace) -> int:
    """``pdk-nb specs check``."""
    from pdk_nb import specs

    problems = specs.check(specs.read(args.train), specs.read(args.deploy))
    for each in problems:
        print(each)
    say(f"{counted(len(problems), 'problem')}." if problems else "The two specs agree.")
    return 1 if problems else 0


def command_diff(args: argparse.Namespace) -> int:
    """``pdk-nb specs diff``."""
    try:
        return _diff(args)
    except PdkError as error:
        say(f"pdk-nb specs diff: {error}")
        return TROUBLE


def _diff(args: argparse.Namespace) -> int:
    from pdk_nb import settings, specs
    from pdk_nb.platforms import mldm
    from pdk_nb.specs.diff import unified

    known = settings.load(kubeconfig_of(args), args.namespace)
    if args.files:
        wanted = [(str(path), specs.read(path)) for path in args.files]
    else:
        pair = specs.render_for(known, Names.chosen(args.participant, args.example))
        wanted = [("rendered", spec) for spec in pair]
    client = mldm.connect(known)
    changed = 0
    for name, spec in wanted:
        pipeline = spec["pipeline"]
        project = (pipeline.get("project") or {}).get("name") or "default"
        text = unified(spec, mldm.pipeline_info(client, project, pipeline["name"]), name=name)
        if text:
            changed += 1
            print(text)
    say(f"{changed} of {len(wanted)} pipelines would change." if changed else "Nothing would change.")
    return 1 if changed else 0
