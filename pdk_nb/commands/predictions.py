"""Predictions: ``predict`` classifies pictures with the served model, ``img2json`` writes the request."""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from pdk_nb.commands.common import Options, Subparsers, kubeconfig_of, say
from pdk_nb.names import Names
from pdk_shared.errors import PdkError


def register(commands: Subparsers, options: Options) -> None:
    """Add these commands to the command line."""
    predict = commands.add_parser(
        "predict",
        parents=[options.state, options.cluster, options.person],
        help="classify pictures with the served model",
    )
    predict.add_argument("images", nargs="+", metavar="IMAGE", type=Path)
    predict.add_argument("--service", default="", help="InferenceService (default: the lab's own)")
    predict.add_argument("--json", action="store_true", help="print one line of JSON for each picture")
    predict.set_defaults(handler=command_predict)
    convert = commands.add_parser("img2json", help="convert a picture to the JSON that KServe expects")
    convert.add_argument("image", metavar="IMAGE", type=Path)
    convert.add_argument("-o", "--output", metavar="FILE", type=Path, help="write to FILE instead of stdout")
    convert.set_defaults(handler=command_img2json)


def command_predict(args: argparse.Namespace) -> int:
    """``pdk-nb predict``."""
    from pdk_nb import settings
    from pdk_nb.platforms import serving
    from pdk_nb.platforms.waiting import changes

    known = settings.load(kubeconfig_of(args), args.namespace)
    service = args.service or Names.chosen(args.participant, args.example).service
    failed = 0
    for image in args.images:
        try:
            prediction = serving.predict(known, service, [image], progress=changes(say))[0]
        except PdkError as error:
            failed += 1
            say(f"{image}: {error}")
            continue
        if prediction.error:
            failed += 1
            say(f"{image}: {prediction.error}")
        elif args.json:
            print(json.dumps({"image": str(image), **prediction.as_dict()}))
        elif not prediction.scores:
            print(f"{image}: class {prediction.index}")
        else:
            print(f"{image}: {prediction.label} (class {prediction.index}, {prediction.score:.0%})")
    return 1 if failed else 0


def command_img2json(args: argparse.Namespace) -> int:
    """``pdk-nb img2json``."""
    from pdk_nb.photos import to_request

    text = json.dumps(to_request([args.image]))
    if args.output:
        args.output.write_text(text + "\n")
        say(f"Wrote {args.output} ({len(text)} bytes).")
    else:
        print(text)
    return 0
