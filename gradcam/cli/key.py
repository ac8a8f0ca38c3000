"""The command `key`: keys that people sign reports with."""

from __future__ import annotations

import argparse

from gradcam import keys
from gradcam.cli import terminal


def add_options(parser: argparse.ArgumentParser) -> None:
    commands = parser.add_subparsers(required=True, metavar="WHAT")
    new = commands.add_parser("new", help="make a key in your own folder, where it is found and trusted by itself")
    new.add_argument("--name", required=True, help="who signs with it, as others are to read it")
    new.add_argument(
        "--server", action="store_true", help="for a server, which signs with it in the names of those who sign in"
    )
    new.set_defaults(run_key=_new)
    listed = commands.add_parser("list", help="list the keys of your own folder, or of another")
    listed.add_argument("folder", nargs="?", type=terminal.path, metavar="FOLDER")
    listed.set_defaults(run_key=_list)
    revoke = commands.add_parser("revoke", help="write into a .pub file that its key counts no more")
    revoke.add_argument("file", type=terminal.path, metavar="FILE", help="the .pub file; hand it round again")
    revoke.add_argument("--reason", default="", help="such as lost, or replaced by another")
    revoke.set_defaults(run_key=_revoke)


def run(options: argparse.Namespace) -> int:
    return options.run_key(options)


def _new(options: argparse.Namespace) -> int:
    key = keys.new_key(options.name, vouches=options.server)
    file = keys.secret_file(options.name)
    terminal.tell(f"{key.public} signs by default now; keep {file}")
    terminal.tell(f"hand {file.with_suffix('.pub')} to those who are to trust it")
    return 0


def _list(options: argparse.Namespace) -> int:
    found = keys.own_keys() if options.folder is None else keys.keys_in(options.folder)
    for key in found.values():
        revoked = f" · REVOKED {key.revoked.at[:10]}: {key.revoked.reason}" if key.revoked else ""
        server = " · a server's, in the names of those who sign in there" if key.vouches else ""
        terminal.tell(f"{key} · made {key.created[:10]}{server}{revoked}")
    if not found:
        terminal.tell(f"no keys in {options.folder or keys.own_folder()}")
    return 0


def _revoke(options: argparse.Namespace) -> int:
    key = keys.revoke(options.file, options.reason)
    terminal.tell(f"{key} counts no more wherever {options.file} is trusted")
    return 0
