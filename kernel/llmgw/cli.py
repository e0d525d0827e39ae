"""``llmgw serve | check | explain | status | doctor | plugins | init``, and the verbs that plugins add.

Exit codes: 0 done, 1 it failed, 2 the command line or the configuration is wrong.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from llmgw import config as configuration
from llmgw import items
from llmgw.errors import ConfigError
from llmgw.logs import LEVELS
from llmgw.version import VERSION

if TYPE_CHECKING:
    from llmgw.gateway import Gateway


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line.

    Args:
        argv: without the program's name; None takes the process's own.

    Returns:
        The exit code.
    """
    words = list(sys.argv[1:] if argv is None else argv)
    try:
        args = parser(words).parse_args(words)
        return int(args.run(args))
    except ConfigError as error:
        for problem in error.problems:
            print(f"llmgw: {problem}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 1
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0


def parser(words: Sequence[str] = ()) -> argparse.ArgumentParser:
    """The command line's parser; plugins' verbs are asked for only when the word is none of ours.

    Args:
        words: the command line, for its verb and ``--config``.
    """
    top = argparse.ArgumentParser("llmgw", description="A gateway between any LLM client and any LLM provider.")
    top.add_argument("--version", action="version", version=f"llmgw {VERSION}")
    verbs = top.add_subparsers(metavar="VERB", required=True)
    _add_serve(verbs)
    check = verbs.add_parser("check", help="read the configuration and say what is wrong with it, without serving")
    _add_config(check)
    check.set_defaults(run=_check)
    doctor = verbs.add_parser("doctor", help="say of each back-end whether it can be used, and what to do if not")
    doctor.add_argument("name", nargs="*", help="back-ends; without any, all that are on")
    doctor.add_argument("--live", action="store_true", help="send each a minimal request, which may cost something")
    _add_config(doctor)
    doctor.set_defaults(run=_doctor)
    _add_explain(verbs)
    status = verbs.add_parser("status", help="ask a running gateway what it has to tell: keys, targets, limits, the store")
    status.add_argument("--url", default="http://127.0.0.1:8000", help="of the gateway (default: http://127.0.0.1:8000)")
    status.add_argument("--key-env", default="LLM_INTERACTIVE_PROXY_API_KEY", metavar="NAME", help="the variable with its key")
    status.add_argument("--json", action="store_true", help="print it as the gateway tells it")
    status.set_defaults(run=_status)
    plugins = verbs.add_parser("plugins", help="list what is installed, what is on, and why; or all about one")
    plugins.add_argument("name", nargs="?", help="a plugin, to see its options")
    plugins.add_argument("--times", action="store_true", help="import each and say how long it took")
    _add_config(plugins)
    plugins.set_defaults(run=_plugins)
    init = verbs.add_parser("init", help="write a commented configuration from what the environment holds")
    init.add_argument("output", nargs="?", default="llmgw.yaml", help="the file to write, or - (default: llmgw.yaml)")
    init.add_argument("--force", action="store_true", help="write over a file that is there")
    init.set_defaults(run=_init)
    if words and words[0].startswith("-") and words[0] not in ("-h", "--help", "--version"):
        meant = next((word for word in words if word in verbs.choices), None)
        if meant is not None:
            top.error(f"options stand behind the verb: llmgw {meant} {words[0]} ...")
    verb = next((word for word in words if not word.startswith("-")), None)
    if verb is not None and verb not in verbs.choices:
        _ask_plugins(verbs, words)
    return top


def _add_config(verb: argparse.ArgumentParser) -> None:
    verb.add_argument("--config", type=Path, metavar="FILE", help="the deployment's YAML; without one, the default set is on")


def _add_serve(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    serve = verbs.add_parser("serve", help="serve until SIGTERM; SIGHUP reads the configuration anew")
    _add_config(serve)
    serve.add_argument("--host", help="the address to listen on (default: 127.0.0.1)")
    serve.add_argument("--port", type=int, help="0 takes a free one (default: 8000)")
    serve.add_argument("--default-backend", metavar="ID[:MODEL]", help="where requests go that name no back-end")
    serve.add_argument("--disable-auth", action="store_true", default=None, help="ask nobody for a key; serves 127.0.0.1 only")
    serve.add_argument(
        "--i-know-this-is-open", action="store_true", help="listen beyond this machine although nobody is asked for a key"
    )
    serve.add_argument("--workers", type=int, default=1, metavar="N", help="processes on the one port (default: 1)")
    serve.add_argument("--loop", choices=("asyncio", "uvloop"), default="asyncio", help="the event loop (default: asyncio)")
    serve.add_argument(
        "--grace", type=float, metavar="SECONDS", help="for running exchanges to finish when stopping (default: 30)"
    )
    serve.add_argument("--log-level", choices=LEVELS, default="info", help="(default: info)")
    serve.add_argument("--log-format", choices=("text", "json"), default="text", help="(default: text)")
    for flag, option in items.flags().items():
        serve.add_argument(f"--{flag}", dest=option, type=_value, metavar="VALUE", help=f"the option {option.replace('.', ': ')}")
    serve.set_defaults(run=_serve)


def _add_explain(verbs: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    explain = verbs.add_parser("explain", help="say what would become of a request, without asking a provider")
    explain.add_argument("request", help="a file with the request's body, or - for standard input")
    explain.add_argument("--path", help="where it is sent, as /v1/messages (default: the first front-end that can read it)")
    explain.add_argument("--key", metavar="NAME", help="of auth.keys: who would be calling")
    explain.add_argument("--header", action="append", default=[], metavar="NAME: VALUE", help="of the client; may be repeated")
    explain.add_argument("--if", dest="supposed", default="overloaded", metavar="CLASS", help="how each target fails")
    explain.add_argument("--json", action="store_true", help="print a list of objects")
    _add_config(explain)
    explain.set_defaults(run=_explain)


def _value(text: str) -> int | str:
    """A flag's value, as YAML would read it."""
    return int(text) if text.isdecimal() else text


def _serve(args: argparse.Namespace) -> int:
    from llmgw import serve

    return serve.run(args)


def _check(args: argparse.Namespace) -> int:
    from llmgw.gateway import Gateway

    gateway = Gateway.build(configuration.load(args.config, os.environ))
    problems = [*_path_problems(gateway)]
    for name, backend in gateway.backends.items():
        problems += [f"{problem} @ backends.{name}" for problem in backend.problems()]
    if problems:
        raise ConfigError(*problems)
    print(f"good: {len(gateway.plugins)} plugins, back-ends {', '.join(gateway.backends) or 'none'}")
    return 0


def _doctor(args: argparse.Namespace) -> int:
    import asyncio

    from llmgw import doctor
    from llmgw.gateway import Gateway

    gateway = Gateway.build(configuration.load(args.config, os.environ))

    async def examine() -> int:
        bad = 0
        async for finding in doctor.examined(gateway, args.name, live=args.live):
            print(doctor.printed(finding), flush=True)
            bad += bool(finding.problems)
        return bad

    return 1 if asyncio.run(examine()) else 0


def _explain(args: argparse.Namespace) -> int:
    import asyncio

    from llmgw import explain
    from llmgw.errors import GatewayError
    from llmgw.gateway import Gateway

    try:
        body = sys.stdin.buffer.read() if args.request == "-" else Path(args.request).read_bytes()
    except OSError as error:
        raise ConfigError(f"cannot read {args.request}: {error.strerror}") from None
    gateway = Gateway.build(configuration.load(args.config, os.environ), explain.unhurried())
    one = explain.Explanation(
        gateway, args.path, explain.headers(args.header), explain.principal(gateway, args.key), explain.kind(args.supposed)
    )

    async def told() -> int:
        lines: list[tuple[str, str]] = []
        try:
            async for line in one.lines(body):
                lines.append(line)
                if not args.json:
                    print("\n".join(explain.printed(*line)), flush=True)
        except GatewayError as error:
            lines.append(("refused", f"{error.status}: {error.message}"))
            if not args.json:
                print("\n".join(explain.printed(*lines[-1])))
        if args.json:
            print(explain.as_json(lines))
        return 1 if lines and lines[-1][0] == "refused" else 0

    return asyncio.run(told())


def _status(args: argparse.Namespace) -> int:
    from llmgw import status

    return status.run(args.url, os.environ.get(args.key_env), raw=args.json)


def _path_problems(gateway: Gateway) -> Iterator[str]:
    """What keeps the table of paths from being made."""
    from llmgw.server import Table

    try:
        Table.of(gateway)
    except ValueError as error:
        bad = [endpoint.path for endpoint in gateway.endpoints if not _is_pattern(endpoint.path)]
        yield f"a plugin serves a path that is no pattern{''.join(f', {path!r}' for path in bad)}: {error}"


def _is_pattern(path: str) -> bool:
    from aiohttp.web import UrlDispatcher

    try:
        UrlDispatcher().add_resource(path)
    except ValueError:
        return False
    return True


def _plugins(args: argparse.Namespace) -> int:
    from llmgw import listing

    return listing.run(args.name, args.config, os.environ, times=args.times)


def _init(args: argparse.Namespace) -> int:
    from llmgw import init

    text = init.configuration_text(os.environ)
    if args.output == "-":
        print(text, end="")
        return 0
    try:
        with Path(args.output).open("w" if args.force else "x") as file:
            file.write(text)
    except FileExistsError:
        print(f"llmgw: {args.output} is there already; --force writes over it", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"llmgw: cannot write {args.output}: {error.strerror}", file=sys.stderr)
        return 1
    print(f"wrote {args.output}; serve it with: llmgw serve --config {args.output}")
    return 0


def _ask_plugins(verbs: argparse._SubParsersAction[argparse.ArgumentParser], words: Sequence[str]) -> None:
    from llmgw.gateway import Gateway

    only_config = argparse.ArgumentParser("llmgw", add_help=False, allow_abbrev=False)
    _add_config(only_config)
    path = only_config.parse_known_args(words)[0].config
    gateway = Gateway.build(configuration.load(path, os.environ))
    gateway.hook.add_cli(subparsers=verbs)


if __name__ == "__main__":
    sys.exit(main())
