"""Arguments, dispatch and exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 cancelled with Ctrl-C."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import MutableMapping, Sequence
from importlib import import_module
from pathlib import Path

from nodegraph import __version__
from nodegraph.errors import Cancelled, NodegraphError, Problems

DONE, FAILED, WRONG, CANCELLED = 0, 1, 2, 130

EPILOG = """\
examples:
  nodegraph run text_to_image                             run a shipped workflow; the picture goes to ./output
  nodegraph run text_to_image --set prompt.text="a fox"   change an input: NODE.INPUT, by id, title or type
  nodegraph run mine.json --output pictures --json        any workflow, as one JSON object a line
  nodegraph run comfyui.png                               ComfyUI files and pictures that carry a workflow work too
  nodegraph check mine.json                               every problem at once, nothing is run
  nodegraph nodes KSampler                                what a node does, its inputs and ranges
  nodegraph serve --open                                  the server and its editor, in the browser

exit codes: 0 done, 1 the run failed, 2 the request was wrong, 130 cancelled
"""


_Plain = argparse.RawDescriptionHelpFormatter


def parser() -> argparse.ArgumentParser:
    main = argparse.ArgumentParser(
        prog="nodegraph",
        description="A node graph engine for controllable diffusion image generation.",
        epilog=EPILOG,
        formatter_class=_Plain,
    )
    main.add_argument("--version", action="version", version=f"nodegraph {__version__}")
    commands = main.add_subparsers(dest="command", metavar="COMMAND", required=True)
    _run(commands.add_parser("run", help="run a workflow and save what it makes", description=RUN))
    _check(commands.add_parser("check", help="report every problem of a workflow, run nothing", description=CHECK))
    _serve(commands.add_parser("serve", help="start the server", description=SERVE, epilog=SERVE_EPILOG, formatter_class=_Plain))
    _nodes(commands.add_parser("nodes", help="list node types, or explain one", description="List the node types, or explain one."))
    _workflows(commands.add_parser("workflows", help="list the shipped workflows", description="List the workflows that are shipped."))
    _convert(commands.add_parser("convert", help="convert between our format and ComfyUI's", description=CONVERT))
    _strip(commands.add_parser("strip", help="remove the workflow from a picture", description=STRIP))
    return main


RUN = """Run a workflow: our JSON, ComfyUI's API or editor JSON, a PNG or WebP that carries one, or the name of a shipped one.
Results are kept between runs, so only what changed is worked out again."""
CHECK = "Read a workflow and report every problem at once. Nothing is run; torch is not even imported."
CONVERT = """Convert a workflow. The form of OUT is chosen with --to; IN may be any accepted form, a picture too.
ComfyUI's editor JSON is read (with subgraphs, reroutes, muted and bypassed nodes resolved) but not written."""
STRIP = "Remove embedded workflows and prompts from a PNG or WebP. Pixels are not touched."

SERVE = """Start the server: queue, history and live events, ComfyUI's protocol, and the editor in the browser.
It answers this machine only, unless --host says otherwise; then a token is needed."""
SERVE_EPILOG = """\
every option can also be an environment variable (NODEGRAPH_PORT, NODEGRAPH_EXTRA_MODEL_PATHS; lists like PATH) or stand in a settings
file, for instance:

  port = 8188                   # serve.toml in the platform's folder for settings, or the file of --settings; JSON works too
  models = ["/data/models"]
  [limits]
  temp = "2G"

The command line wins over the environment, the environment over the file. Of folders that may be repeated, those of all three count.
"""


def _folders(p: argparse.ArgumentParser) -> None:
    group = p.add_argument_group("where things are")
    group.add_argument("--input", type=Path, metavar="DIR", help="folder that LoadImage reads from (default: ./input)")
    group.add_argument("--models", type=Path, metavar="DIR", action="append", default=[], help="a models folder; may be repeated")
    group.add_argument("--packs", type=Path, metavar="DIR", action="append", default=[], help="the folder of a node pack; may be repeated")


def _workflow(p: argparse.ArgumentParser) -> None:
    p.add_argument("workflow", metavar="WORKFLOW", help="a file, or the name of a shipped workflow")
    p.add_argument(
        "--set", dest="sets", metavar="NODE.INPUT=VALUE", action="append", default=[], help="change an input; NODE is an id, title or type"
    )
    p.add_argument("--only", metavar="NODE", action="append", default=[], help="run to this node only; may be repeated")


def _run(p: argparse.ArgumentParser) -> None:
    _workflow(p)
    p.add_argument("--output", type=Path, metavar="DIR", help="folder for saved pictures (default: ./output)")
    p.add_argument("--json", action="store_true", help="print events as one JSON object a line")
    p.add_argument("--quiet", action="store_true", help="print only the paths of saved files")
    p.add_argument("--explain", action="store_true", help="say why each node ran")
    _folders(p)
    group = p.add_argument_group("how it runs")
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps ... (default: the best there is)")
    group.add_argument("--cache", type=Path, metavar="DIR", help="folder for kept results (default: the user's cache folder)")
    group.add_argument("--no-cache", action="store_true", help="keep and use no results on disk")


def _check(p: argparse.ArgumentParser) -> None:
    _workflow(p)
    p.add_argument("--json", action="store_true", help="print problems as one JSON object a line")
    _folders(p)


def _serve(p: argparse.ArgumentParser) -> None:
    def many(group: argparse._ArgumentGroup, name: str, metavar: str, text: str) -> None:
        group.add_argument(name, metavar=metavar, action="append", default=[], help=f"{text}; may be repeated")

    group = p.add_argument_group("where it answers")
    group.add_argument("--host", metavar="ADDRESS", help="address to listen on (default: 127.0.0.1; another one needs --token)")
    group.add_argument("--port", metavar="N", help="port to listen on, 0 for a free one (default: 8188)")
    group.add_argument("--open", action="store_true", help="open the editor in the browser")
    group = p.add_argument_group("where things are")
    group.add_argument("--input", metavar="DIR", help="folder that uploads go to and LoadImage reads from (default: ./input)")
    group.add_argument("--output", metavar="DIR", help="folder for saved pictures (default: ./output)")
    many(group, "--models", "DIR", "a models folder (default: ./models, and the shipped ones)")
    many(group, "--packs", "DIR", "the folder of a node pack")
    many(group, "--extra-model-paths", "FILE", "a YAML file in the form of ComfyUI's extra_model_paths.yaml")
    group.add_argument("--state", metavar="DIR", help="folder for queue, history and saved workflows (default: the user's data folder)")
    group.add_argument("--settings", metavar="FILE", help="a settings file, TOML or JSON")
    group.add_argument("--editor", metavar="DIR", help="serve another web editor, built into this folder")
    group = p.add_argument_group("how it runs")
    group.add_argument("--device", metavar="NAME", help="cpu, cuda, cuda:1, mps ... (default: the best there is)")
    group.add_argument("--dtype", metavar="NAME", help="number format of networks: float32, bfloat16 or float16 (default: float32)")
    group.add_argument("--memory", metavar="SIZE", help="memory for kept results, for instance 4G")
    many(group, "--limit", "NAME=SIZE", "body, upload, uploads, temp, userdata, pixels, connections, body_seconds or idle_seconds")
    group.add_argument("--dev", action="store_true", help="for work on nodes and editor: other ports of this machine may use the server")
    group = p.add_argument_group("who may use it")
    group.add_argument("--token", metavar="TEXT", help="what every request must carry; `new` makes one up and prints the address with it")
    many(group, "--allow-host", "NAME", "one more name this server is reached by")
    many(group, "--allow-origin", "ORIGIN", "one more page that may use it, such as https://example.org")


def _nodes(p: argparse.ArgumentParser) -> None:
    p.add_argument("name", nargs="?", metavar="NAME", help="explain this node type")
    p.add_argument("--json", action="store_true", help="print the full description as JSON")
    p.add_argument("--packs", type=Path, metavar="DIR", action="append", default=[], help="the folder of a node pack; may be repeated")


def _workflows(p: argparse.ArgumentParser) -> None:
    p.add_argument("--json", action="store_true", help="print as JSON")


def _convert(p: argparse.ArgumentParser) -> None:
    p.add_argument("source", metavar="IN", type=Path)
    p.add_argument("target", metavar="OUT", type=Path)
    p.add_argument("--to", choices=("nodegraph", "comfy-api"), default="nodegraph", help="form of OUT (default: nodegraph)")
    p.add_argument("--packs", type=Path, metavar="DIR", action="append", default=[], help="the folder of a node pack; may be repeated")


def _strip(p: argparse.ArgumentParser) -> None:
    p.add_argument("image", metavar="IMAGE", type=Path)
    p.add_argument("--output", type=Path, metavar="FILE", help="write here instead of replacing IMAGE")


_WHERE = {
    "run": "run",
    "check": "check",
    "serve": "serve",
    "nodes": "nodes",
    "workflows": "nodes",
    "convert": "convert",
    "strip": "convert",
}


def share_processors(environ: MutableMapping[str, str] = os.environ) -> None:
    """Let torch's idle threads (GNU OpenMP) spin for a fraction of a millisecond only. They must be told before torch is imported.

    By default they spin far longer, and two of them on a machine that is busy with something else wait for each other in turn: the demo
    picture took 10 s and more instead of 1 s. On an idle machine this setting costs nothing that could be measured.
    """
    if "OMP_WAIT_POLICY" not in environ:
        environ.setdefault("GOMP_SPINCOUNT", "20000")


def main(argv: Sequence[str] | None = None) -> int:
    share_processors()
    arguments = parser().parse_args(argv)
    command = getattr(import_module(f"nodegraph.cli.{_WHERE[arguments.command]}"), arguments.command)
    try:
        code: int = command(arguments)
    except NodegraphError as error:
        report(error, getattr(arguments, "json", False))
        return WRONG
    except (Cancelled, KeyboardInterrupt):
        print("cancelled", file=sys.stderr)
        return CANCELLED
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    return code


def report(error: NodegraphError, as_json: bool = False) -> None:
    """One form for every fault: text on stderr, and with --json an object a fault on stdout."""
    if as_json:
        for item in error.errors if isinstance(error, Problems) else (error,):
            print(json.dumps({"event": "problem", **item.to_json()}), flush=True)
    text = error.render()
    print(text, file=sys.stderr)
    if isinstance(error, Problems) and len(error.errors) > 1:
        print(f"{len(error.errors)} problems", file=sys.stderr)
