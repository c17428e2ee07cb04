"""The model store: ``storage prepare`` and ``storage list``."""

from __future__ import annotations

import argparse
from typing import TYPE_CHECKING

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say
from pdk_shared.errors import UsageError

if TYPE_CHECKING:
    from pdk_nb.platforms.storage import ModelStore


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    storage = commands.add_parser("storage", help="test and list the model bucket")
    verbs = storage.add_subparsers(dest="verb", required=True, metavar="VERB")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--bucket", default="", help="gs://NAME or s3://NAME (default: the bucket of pdk-config)")
    common.add_argument("--endpoint", default="", help="URL of an S3 service other than Amazon's, e.g. MinIO")
    common.add_argument("--model", default="dogs-and-cats", help="name of the model (default: dogs-and-cats)")
    parents = [options.state, options.cluster, common]
    prepare = verbs.add_parser(
        "prepare",
        parents=parents,
        help="test write access; with --folders, create the setup guide's folders",
    )
    prepare.add_argument(
        "--folders",
        action="store_true",
        help="also create the setup guide's folders, for consoles; not needed",
    )
    prepare.set_defaults(handler=command_prepare)
    listed = verbs.add_parser("list", parents=parents, help="list the model's versions")
    listed.set_defaults(handler=command_list)


def _store(args: argparse.Namespace) -> ModelStore:
    from pdk_nb import settings
    from pdk_nb.platforms import storage

    if args.bucket:
        scheme, separator, _ = args.bucket.partition("://")
        if not separator or scheme not in ("gs", "s3"):
            raise UsageError(f"'{args.bucket}' doesn't name the kind of bucket.", fix="gs://NAME or s3://NAME")
        return storage.open_store("gcp" if scheme == "gs" else "aws", args.bucket, endpoint=args.endpoint)
    known = settings.load(kubeconfig_of(args), args.namespace)
    if not known.kserve_model_bucket_name:
        raise UsageError(
            "This cluster has no model bucket: the deploy stage keeps models in its output repo.",
            where="kserve_model_bucket_name of pdk-config",
            fix="You don't need to prepare anything. To test another bucket, use --bucket.",
        )
    return storage.models_of(known, endpoint=args.endpoint)


def command_prepare(args: argparse.Namespace) -> int:
    """``pdk-nb storage prepare``."""
    from pdk_nb.platforms import storage

    store = _store(args)
    storage.probe(store, args.model)
    say(f"{store.uri} is writable.")
    if args.folders:
        for key in storage.make_folders(store, args.model):
            print(f"{store.uri}{key}")
    return 0


def command_list(args: argparse.Namespace) -> int:
    """``pdk-nb storage list``."""
    from pdk_nb.platforms import storage

    store = _store(args)
    found = storage.versions(store, args.model)
    for version in found:
        print(f"{store.uri}{args.model}/{version}/")
    if not found:
        say(f"{store.uri} has no version of {args.model}.")
    return 0
