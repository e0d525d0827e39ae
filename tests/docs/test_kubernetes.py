"""What examples/kubernetes says is valid, fits together, and fits llmgw."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import socket
import subprocess
import time
import tomllib
from collections.abc import Awaitable, Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest
import yaml

from llmgw import Gateway, server
from llmgw import config as configuration
from llmgw.cli import parser
from llmgw_testing.gateway import RunningGateway
from tests.shared import ROOT

FOLDER = ROOT / "examples" / "kubernetes"
VERSIONS = ("1.30", "1.33", kubernetes_validate.latest_version())
"""The oldest that README names, one that is in wide use, and the newest whose schemas are at hand."""
PODS = ("llmgw", "llmgw-redis")

Document = dict[str, Any]


# ---- tools --------------------------------------------------------------------------------------


def documents() -> list[tuple[str, Document]]:
    """Each document with its file's name."""
    files = (file for file in sorted(FOLDER.glob("*.yaml")) if file.name != "kustomization.yaml")
    return [(file.name, one) for file in files for one in yaml.safe_load_all(file.read_text())]


def the(kind: str, name: str = "llmgw") -> Document:
    """The one document of this kind and name."""
    (found,) = (one for _, one in documents() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return dict(found)


def pod(name: str = "llmgw") -> Document:
    """What a deployment's pods are."""
    return dict(the("Deployment", name)["spec"]["template"]["spec"])


def container(name: str = "llmgw") -> Document:
    """The one container of those."""
    (one,) = pod(name)["containers"]
    return dict(one)


def written() -> str:
    """The configuration in the ConfigMap."""
    return str(the("ConfigMap")["data"]["llmgw.yaml"])


def env() -> dict[str, str]:
    """What the pods' environment holds: each key of the secrets, with a value of its own."""
    sources = [source["secretRef"]["name"] for source in container()["envFrom"]]
    return {name: f"value-of-{name}" for source in sources for name in the("Secret", source)["stringData"]}


def built(tmp_path: Path) -> Gateway:
    """The gateway that the configuration makes in that environment."""
    file = tmp_path / "llmgw.yaml"
    file.write_text(written())
    return Gateway.build(configuration.load(file, env()))


def texts(value: Any, path: str = "") -> Iterator[tuple[str, str]]:
    """Every text in a document, with its place."""
    match value:
        case dict():
            for key, each in value.items():
                yield from texts(each, f"{path}.{key}")
        case list():
            for index, each in enumerate(value):
                yield from texts(each, f"{path}[{index}]")
        case str():
            yield path, value
        case _:
            pass


# ---- valid --------------------------------------------------------------------------------------


@pytest.mark.parametrize("version", VERSIONS)
def test_every_document_is_valid(version: str) -> None:
    """Kubernetes takes each document, with no field that it does not know."""
    for _, one in documents():
        kubernetes_validate.validate(one, version, strict=True)


def test_a_mistake_is_found() -> None:
    """The check before would find a misspelt field."""
    wrong = the("Service")
    wrong["spec"]["ports"][0]["tagetPort"] = "http"
    with pytest.raises(kubernetes_validate.ValidationError):
        kubernetes_validate.validate(wrong, VERSIONS[-1], strict=True)


def test_kustomization_has_every_file_but_the_secrets() -> None:
    """`kubectl apply -k` brings all, and does not empty the keys."""
    kustomization = yaml.safe_load((FOLDER / "kustomization.yaml").read_text())
    files = {file.name for file in FOLDER.glob("*.yaml")} - {"kustomization.yaml", "secret.yaml"}
    assert files == set(kustomization["resources"])
    assert the("Namespace")["metadata"]["name"] == kustomization["namespace"]
    assert [container()["image"]] == [image["name"] for image in kustomization["images"]]


def test_readme_names_every_file() -> None:
    """Nobody has to guess what a file is for."""
    readme = (FOLDER / "README.md").read_text()
    files = {file.name for file in FOLDER.iterdir()} - {"README.md", "Dockerfile.dockerignore"}
    assert [] == [name for name in files if f"`{name}`" not in readme]


# ---- it fits llmgw ------------------------------------------------------------------------------


def test_the_configuration_is_one(tmp_path: Path) -> None:
    """What stands in the ConfigMap builds a gateway, which needs nothing but what the secrets bring."""
    gateway = built(tmp_path)
    assert {"openai", "anthropic"} == set(gateway.backends)
    assert [] == [state.name for one in gateway.backends.values() for state in one.credentials if state.problem]


def test_the_configuration_needs_no_further_key(tmp_path: Path) -> None:
    """Each key that it names is one of the secrets', and each of the secrets' is used by llmgw."""
    named = set(re.findall(r"env:(\w+)", written()))
    implied = {state.name for one in built(tmp_path).backends.values() for state in one.credentials}
    assert set(env()) == named | implied


def test_state_is_kept_in_the_redis_beside_it(tmp_path: Path) -> None:
    """The configuration's URL is that of the service."""
    (store,) = (one["state-redis"] for one in yaml.safe_load(written())["plugins"] if "state-redis" in one)
    service = the("Service", "llmgw-redis")
    assert f"redis://{service['metadata']['name']}:{service['spec']['ports'][0]['port']}/0" == store["url"]


@pytest.mark.parametrize("probe", ["startupProbe", "readinessProbe", "livenessProbe"])
async def test_probes_ask_what_llmgw_answers(probe: str, gateway: Callable[..., Awaitable[RunningGateway]]) -> None:
    """Each probe's path is served without a key, and its port is the one that llmgw listens on."""
    asked = container()[probe]["httpGet"]
    running = await gateway({"backends": {"echo": {}}}, env={"LLM_INTERACTIVE_PROXY_API_KEY": "sesame"})
    assert 200 == (await running.get(asked["path"]))[0]
    (port,) = (port["containerPort"] for port in container()["ports"] if port["name"] == asked["port"])
    assert port == parser().parse_args(container()["args"]).port


def test_the_command_is_one() -> None:
    """llmgw takes the container's arguments, and they name the file that is mounted."""
    args = parser().parse_args(container()["args"])
    (mount,) = (mount for mount in container()["volumeMounts"] if mount["name"] == "config")
    (volume,) = (volume for volume in pod()["volumes"] if volume["name"] == "config")
    assert Path(mount["mountPath"]) / next(iter(the("ConfigMap")["data"])) == args.config
    assert the("ConfigMap")["metadata"]["name"] == volume["configMap"]["name"]
    assert "0.0.0.0" == args.host


def test_a_pod_that_goes_has_time_to_say_so(tmp_path: Path) -> None:
    """SIGKILL comes only after the sleep, the grace, and the last words to clients whose answers are not done."""
    sleep = container()["lifecycle"]["preStop"]["sleep"]["seconds"]
    grace = built(tmp_path).config.proxy.grace
    assert sleep + grace + 2 * server.LAST_WORDS < pod()["terminationGracePeriodSeconds"]


def test_no_request_comes_after_the_sleep() -> None:
    """It lasts longer than what Kubernetes needs to tell everybody that a pod goes."""
    assert 5 <= container()["lifecycle"]["preStop"]["sleep"]["seconds"]


# ---- the documents fit each other ---------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_selectors_find_the_pods(name: str) -> None:
    """Deployment and service of a name select the labels that its pods have, and the service's port is one of theirs."""
    labels = the("Deployment", name)["spec"]["template"]["metadata"]["labels"]
    assert labels == the("Deployment", name)["spec"]["selector"]["matchLabels"]
    assert labels == the("Service", name)["spec"]["selector"]
    ports = {port["name"] for port in container(name)["ports"]}
    assert ports == {port["targetPort"] for port in the("Service", name)["spec"]["ports"]}


def test_all_else_selects_the_same_pods() -> None:
    """The disruption budget, the spread over nodes and Redis' policy mean llmgw's pods; the autoscaler means its deployment."""
    labels = the("Deployment")["spec"]["selector"]["matchLabels"]
    (spread,) = pod()["topologySpreadConstraints"]
    (rule,) = the("NetworkPolicy", "llmgw-redis")["spec"]["ingress"]
    assert labels == the("PodDisruptionBudget")["spec"]["selector"]["matchLabels"]
    assert labels == spread["labelSelector"]["matchLabels"]
    assert [labels] == [one["podSelector"]["matchLabels"] for one in rule["from"]]
    reference = the("HorizontalPodAutoscaler")["spec"]["scaleTargetRef"]
    assert ("Deployment", the("Deployment")["metadata"]["name"]) == (reference["kind"], reference["name"])


def test_one_pod_may_always_go() -> None:
    """There are at least two, and the deployment leaves their number to the autoscaler."""
    assert 2 <= the("HorizontalPodAutoscaler")["spec"]["minReplicas"]
    assert "replicas" not in the("Deployment")["spec"]


# ---- security -----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PODS)
def test_pods_may_do_nothing_but_run(name: str) -> None:
    """They keep the `restricted` standard, and their root file system is read-only.

    Source: https://kubernetes.io/docs/concepts/security/pod-security-standards/
    """
    context = pod(name)["securityContext"]
    assert context["runAsNonRoot"] and context["runAsUser"] > 0
    assert {"type": "RuntimeDefault"} == context["seccompProfile"]
    inner = {"allowPrivilegeEscalation": False, "readOnlyRootFilesystem": True, "capabilities": {"drop": ["ALL"]}}
    assert inner == container(name)["securityContext"]
    assert not pod(name)["automountServiceAccountToken"]
    assert {"cpu", "memory"} == set(container(name)["resources"]["requests"])
    assert "memory" in container(name)["resources"]["limits"]


def test_no_secret_has_a_value() -> None:
    """What is committed names the keys, and holds none."""
    secrets = [one for _, one in documents() if one["kind"] == "Secret"]
    assert [] == [name for one in secrets for name, value in one["stringData"].items() if value]
    assert [] == [one["metadata"]["name"] for one in secrets if one.get("data")]


def suspicious(path: str, text: str) -> bool:
    """Whether a text looks like a key: long and mixed, known by its beginning, in a URL, or under a name that says so."""
    words = re.findall(r"[\w+/=-]{24,}", text)
    mixed = [word for word in words if re.search(r"\d", word) and re.search(r"[A-Za-z]", word)]
    known = re.search(r"\b(sk-|gsk_|AIza|AKIA|ghp_|xox[bp]-|Bearer )|-----BEGIN|://[^/\s]*:[^/\s]*@", text)
    named = re.search(r"(?i)(key|token|password|secret)$", path) and not text.startswith("env:")
    return bool(mixed or known or named)


def test_no_config_map_holds_a_key() -> None:
    """Neither as such nor inside llmgw.yaml, where keys are named as env:NAME."""
    maps = [one["data"] for _, one in documents() if one["kind"] == "ConfigMap"]
    inside = [yaml.safe_load(text) for data in maps for name, text in data.items() if name.endswith(".yaml")]
    assert [] == [(path, text) for one in [*maps, *inside] for path, text in texts(one) if suspicious(path, text)]


@pytest.mark.parametrize(
    ("path", "text"),
    [
        (".backends.openai.api_key", "sesame"),
        (".anything", "sk-proj-abc"),
        (".url", "redis://:sesame@llmgw-redis:6379/0"),
        (".anything", "5f4dcc3b5aa765d61d8327deb882cf99"),
    ],
)
def test_a_key_is_found(path: str, text: str) -> None:
    """The check before would find these."""
    assert suspicious(path, text)


# ---- the image and Redis ------------------------------------------------------------------------


def instructions() -> Mapping[str, str]:
    """The last of each instruction in the Dockerfile."""
    lines = (FOLDER / "Dockerfile").read_text().splitlines()
    return dict(line.split(" ", 1) for line in lines if line and not line.startswith("#"))


def test_the_image_runs_as_the_pods_do() -> None:
    """Its user is theirs, its port is theirs, and it starts a program that the package has."""
    context = pod()["securityContext"]
    assert f"{context['runAsUser']}:{context['runAsGroup']}" == instructions()["USER"]
    assert [instructions()["EXPOSE"]] == [str(port["containerPort"]) for port in container()["ports"]]
    assert Path(yaml.safe_load(instructions()["ENTRYPOINT"])[0]).name == "llmgw"
    assert "0.0.0.0" == parser().parse_args(yaml.safe_load(instructions()["CMD"])).host


def test_the_image_has_what_redis_needs() -> None:
    """Its extras are the package's, and the one for Redis is among them."""
    extras = set(re.findall(r"\[([\w,]+)\]", instructions()["RUN"])[0].split(","))
    known = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert {"redis"} <= extras <= set(known)


def test_the_image_is_made_of_the_package_alone() -> None:
    """What goes to the builder is what setuptools reads, and nothing else of the repository."""
    lines = (FOLDER / "Dockerfile.dockerignore").read_text().splitlines()
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    needed = {"pyproject.toml", "setup.cfg", project["project"]["readme"], *project["project"]["license-files"]}
    needed |= set(project["tool"]["setuptools"]["packages"]["find"]["where"])
    assert "*" in lines
    assert needed == {line.removeprefix("!") for line in lines if line.startswith("!")}


@pytest.mark.skipif(shutil.which("redis-server") is None, reason="needs Debian's redis-server")
def test_redis_starts_as_the_pod_says_and_asks_for_the_password(tmp_path: Path) -> None:
    """The container's own command gives a Redis that lets nobody in without the password, which no command line shows."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    one = container("llmgw-redis")
    script = one["args"][0].replace("--port 6379", f"--port {port}").replace("--bind 0.0.0.0", "--bind 127.0.0.1")
    environment = {"PATH": os.environ["PATH"], "REDIS_PASSWORD": "sesame"}
    with subprocess.Popen([*one["command"], script], env=environment, cwd=tmp_path, stdout=subprocess.DEVNULL) as process:
        try:
            begin = time.monotonic()
            while not _answers(port, "PING"):
                assert time.monotonic() - begin < 10
                time.sleep(0.01)
            assert "NOAUTH" in _answers(port, "GET a")
            assert "OK" in _answers(port, "AUTH sesame")
            assert "sesame" not in Path(f"/proc/{process.pid}/cmdline").read_text()
        finally:
            process.terminate()
    assert 0 == process.returncode, shlex.join(one["command"])


def _answers(port: int, line: str) -> str:
    """What Redis says to a line; nothing while it is not there."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as sock:
            sock.sendall(f"{line}\r\n".encode())
            return sock.recv(1000).decode()
    except OSError:
        return ""
