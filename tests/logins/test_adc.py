"""Application default credentials: which are found, how they become tokens, and what is said where they do not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import aiohttp
import pytest
import pytest_asyncio
from aiohttp import web
from attrs import define, field

from llmgw.errors import CredentialUnusable
from llmgw_logins import Tokens
from llmgw_logins.adc import PAUSE, SKEW, Adc
from llmgw_testing import FakeClock
from tests.backends.fakes.server import Came, Refused
from tests.backends.fakes.vertex import LIFE, FakeGoogle, written

LOGIN = "gcloud auth application-default login"
WELL_KNOWN = "application_default_credentials.json"


@define(eq=False)
class Place:
    """A machine with Google's servers behind it.

    Args:
        google: the servers.
        clock: its time.
        http: a session.
        home: of its user.
    """

    google: FakeGoogle
    clock: FakeClock
    http: aiohttp.ClientSession
    home: Path

    def adc(self, env: dict[str, str] | None = None, **more: Any) -> Adc:
        """The credentials of this machine."""
        told = {"HOME": str(self.home), "NO_GCE_CHECK": "true", **(env or {})}
        return Adc(told, self.clock.clock, token_url=f"{self.google.url}/token", **more)

    def logged_in(self, **more: Any) -> Path:
        """The file that gcloud writes."""
        return written(self.home / ".config/gcloud" / WELL_KNOWN, self.google.user_file(**more))


@pytest_asyncio.fixture
async def place(tmp_path: Path) -> AsyncIterator[Place]:
    clock = FakeClock()
    async with FakeGoogle(now=clock.clock.time).running() as google, aiohttp.ClientSession() as http:
        yield Place(google, clock, http, tmp_path)


async def told(adc: Adc, http: aiohttp.ClientSession) -> str:
    """What is said instead of a token."""
    with pytest.raises(CredentialUnusable) as failure:
        await adc.token(http)
    return failure.value.message


# ---- where they are looked for


async def test_gclouds_file_is_found(place: Place) -> None:
    """In the home of the user; the token ends when the server says."""
    place.logged_in(quota_project_id="pays")

    tokens = await place.adc().token(place.http)

    assert Tokens("ya29.secret-1", expires_at=place.clock.clock.time() + LIFE, about={"quota_project": "pays"}) == tokens


async def test_gclouds_folder_may_be_another(place: Place) -> None:
    """CLOUDSDK_CONFIG names it, before the home is looked into."""
    place.logged_in(client_secret="wrong")
    written(place.home / "elsewhere" / WELL_KNOWN, place.google.user_file())

    tokens = await place.adc({"CLOUDSDK_CONFIG": str(place.home / "elsewhere")}).token(place.http)

    assert "ya29.secret-1" == tokens.access


@pytest.mark.parametrize("how", ["variable", "option"])
async def test_a_named_file_comes_first(place: Place, how: str) -> None:
    """Of a variable or an option; gcloud's is then not looked at."""
    place.logged_in(client_secret="wrong")
    path = written(place.home / "named.json", place.google.user_file())
    adc = place.adc({"GOOGLE_APPLICATION_CREDENTIALS": str(path)}) if how == "variable" else place.adc(credentials_file=path)

    assert "ya29.secret-1" == (await adc.token(place.http)).access


async def test_a_named_file_may_stand_in_the_home(place: Place) -> None:
    """As people write it in a configuration."""
    written(place.home / "keys/named.json", place.google.user_file())

    assert "ya29.secret-1" == (await place.adc(credentials_file=Path("~/keys/named.json")).token(place.http)).access


async def test_a_named_file_that_is_missing_is_told(place: Place) -> None:
    """Nothing else is taken instead, for it would be somebody else's login."""
    place.logged_in()

    said = await told(place.adc({"GOOGLE_APPLICATION_CREDENTIALS": str(place.home / "gone.json")}), place.http)

    assert f"No login in gone.json: there is none. Run: {LOGIN}" == said
    assert [] == place.google.came


@pytest.mark.parametrize("how", ["option", "variable"])
async def test_the_metadata_server_comes_last(place: Place, how: str) -> None:
    """Where there is no file; it also knows the project."""
    host = place.google.url.removeprefix("http://")
    adc = place.adc(metadata_url=place.google.url) if how == "option" else place.adc({"GCE_METADATA_HOST": host})

    tokens = await adc.token(place.http)

    assert ("ya29.secret-1", {"project": "of-the-machine"}) == (tokens.access, tokens.about)
    assert "metadata server" == adc.state.told


async def test_a_file_comes_before_the_metadata_server(place: Place) -> None:
    """As for Google's own programs."""
    place.logged_in()

    await place.adc(metadata_url=place.google.url).token(place.http)

    assert ["/token"] == [one.path for one in place.google.came]


@pytest.mark.parametrize(("product", "env", "expected"), [
    ("Google Compute Engine\n", {"NO_GCE_CHECK": ""}, "metadata server"),
    ("Standard PC\n", {"NO_GCE_CHECK": ""}, "no application default credentials"),
    ("Standard PC\n", {"NO_GCE_CHECK": "", "K_SERVICE": "mine"}, "metadata server"),
    ("Google Compute Engine\n", {"NO_GCE_CHECK": "true"}, "no application default credentials"),
])  # fmt: skip
def test_the_metadata_server_is_asked_only_in_google_cloud(
    tmp_path: Path, product: str, env: dict[str, str], expected: str
) -> None:
    """A machine tells by its board or by its environment that it is there; elsewhere its name would not be found for long."""
    board = tmp_path / "product_name"
    board.write_text(product)

    assert expected == Adc({"HOME": str(tmp_path), **env}, FakeClock().clock, board=board).state.told


async def test_nothing_at_all(place: Place) -> None:
    """The message has both ways out."""
    adc = place.adc()

    said = await told(adc, place.http)

    assert f"Run: {LOGIN}, or name a service account's file in GOOGLE_APPLICATION_CREDENTIALS" in said
    assert said == adc.state.problem


async def test_an_environment_without_a_home(place: Place) -> None:
    """Has no file of gcloud's, and nothing breaks."""
    place.logged_in()

    assert "There are no application default credentials" in await told(
        Adc({"NO_GCE_CHECK": "true"}, place.clock.clock), place.http
    )


# ---- kinds


async def test_a_service_account_signs(place: Place) -> None:
    """An assertion that the server can verify; the file says where it is, and whose project it is."""
    path = written(place.home / "sa.json", place.google.service_file())
    adc = Adc({}, place.clock.clock, path)

    tokens = await adc.token(place.http)

    assert ("ya29.secret-1", {"project": "of-the-file"}) == (tokens.access, tokens.about)
    assert "service account from sa.json" == adc.state.told


async def test_a_service_account_whose_key_was_deleted(place: Place) -> None:
    """A new key is needed, or the clock is wrong: both give this error."""
    tree = place.google.service_file(client_email="other@x.iam.gserviceaccount.com")
    path = written(place.home / "sa.json", tree)

    said = await told(Adc({}, place.clock.clock, path), place.http)

    assert "invalid_grant" in said and "make a new key" in said and "clock right" in said


async def test_a_key_that_is_none(place: Place) -> None:
    """The file is broken, and nobody is asked."""
    path = written(place.home / "sa.json", place.google.service_file(private_key="-----BEGIN nothing"))

    adc = Adc({}, place.clock.clock, path)

    assert "its private_key is no RSA key in PEM" in await told(adc, place.http)
    assert adc.state.problem
    assert [] == place.google.came


async def test_a_service_account_that_is_acted_for(place: Place) -> None:
    """As after `gcloud auth application-default login --impersonate-service-account`: two tokens, of which the second counts."""
    url = f"{place.google.url}/iam/bot:generateAccessToken"
    source = {"source_credentials": place.google.user_file(), "service_account_impersonation_url": url}
    path = written(place.home / "i.json", {"type": "impersonated_service_account", "delegates": [], **source})
    adc = place.adc(credentials_file=path)

    tokens = await adc.token(place.http)

    assert ("ya29.secret-2", place.clock.clock.time() + 3600) == (tokens.access, tokens.expires_at)
    assert "Bearer ya29.secret-1" == place.google.asked(":generateAccessToken")[0].headers["authorization"]


async def test_acting_for_a_service_account_may_be_forbidden(place: Place) -> None:
    """The role that is missing is named."""
    url = f"{place.google.url}/iam/bot:generateAccessToken"
    source = {"source_credentials": place.google.user_file(), "service_account_impersonation_url": url}
    path = written(place.home / "i.json", {"type": "impersonated_service_account", **source})
    place.google.fails(":generateAccessToken", 403, {"error": {"code": 403}})

    said = await told(place.adc(credentials_file=path), place.http)

    assert "answered 403; the login needs the role Service Account Token Creator" in said


async def test_a_workload_identity_goes_through_the_session(place: Place) -> None:
    """google-auth reads the file of the cluster, and asks the token exchange through the gateway's session."""
    subject = written(place.home / "subject", "from-the-cluster")
    path = written(place.home / "wif.json", workload(place, subject))

    tokens = await Adc({}, place.clock.clock, path).token(place.http)

    assert "ya29.secret-1" == tokens.access
    assert tokens.expires_at is not None
    assert ["/sts"] == [one.path for one in place.google.came]


async def test_a_workload_identity_that_is_refused(place: Place) -> None:
    """What the server calls it is told, and no path and no token of it."""
    subject = written(place.home / "subject", "not-from-the-cluster")
    path = written(place.home / "wif.json", workload(place, subject))

    said = await told(Adc({}, place.clock.clock, path), place.http)

    assert "google-auth got none: invalid_grant" in said and str(place.home) not in said and "cluster" not in said


@define(eq=False)
class Silent(FakeGoogle):
    """Answers nobody until all is over."""

    over: asyncio.Event = field(factory=asyncio.Event)

    async def answer(self, came: Came, request: web.Request) -> web.StreamResponse:
        """Wait."""
        await self.over.wait()
        raise Refused(503, "<html></html>")


async def test_whoever_leaves_while_google_auth_waits_leaves_nothing(place: Place) -> None:
    """Neither a request on its way nor a thread that waits for it, and the next one asks anew."""
    subject = written(place.home / "subject", "from-the-cluster")
    async with Silent().running() as silent:
        path = written(place.home / "wif.json", workload(place, subject) | {"token_url": f"{silent.url}/sts"})
        adc = Adc({}, place.clock.clock, path)
        async with asyncio.TaskGroup() as group:
            leaving = group.create_task(adc.token(place.http))
            while not silent.came:  # noqa: ASYNC110  # what comes there wakes nobody here
                await asyncio.sleep(0.001)
            leaving.cancel()
        for _ in range(2000):  # that it is not wanted any more, its thread has to be told
            waiting = [one for one in asyncio.all_tasks() if "Over._sent" in repr(one)]
            if not waiting:
                break
            await asyncio.sleep(0.001)
        silent.over.set()

    assert [] == waiting
    written(path, workload(place, subject))
    assert "ya29.secret-1" == (await adc.token(place.http)).access


def workload(place: Place, subject: Path) -> dict[str, Any]:
    return {
        "type": "external_account",
        "audience": "//iam.googleapis.com/projects/1/locations/global/workloadIdentityPools/p/providers/q",
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt", "token_url": f"{place.google.url}/sts",
        "credential_source": {"file": str(subject)},
    }  # fmt: skip


async def test_google_auth_may_be_missing(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """Then the message has the command that installs it."""
    path = written(place.home / "sa.json", place.google.service_file())

    def missing(name: str, *more: Any) -> Any:
        raise ImportError(name)

    monkeypatch.setattr("llmgw_logins.adc.import_module", missing)

    assert "pip install 'llmgw[gcp]'" in await told(Adc({}, place.clock.clock, path), place.http)


async def test_a_persons_login_needs_no_google_auth(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """The commonest kind is asked for by ourselves."""
    place.logged_in()
    monkeypatch.setattr("llmgw_logins.adc.import_module", None)

    assert "ya29.secret-1" == (await place.adc().token(place.http)).access


@pytest.mark.parametrize(("text", "expected"), [
    ("{", "is corrupt: it holds no JSON object"),
    ("[]", "is corrupt: it holds no JSON object"),
    ("{}", "are of no type"),
    ('{"type": "gdch_service_account"}', "are of the type 'gdch_service_account', which cannot be used here"),
    ('{"type": "authorized_user", "client_id": "i", "client_secret": "s"}', "are corrupt: refresh_token is missing"),
    ('{"type": "service_account", "client_email": "e"}', "are corrupt: private_key is missing"),
])  # fmt: skip
async def test_a_file_that_cannot_be_used(place: Place, text: str, expected: str) -> None:
    """What is wrong with it is told, and the command that makes another; the same without a request."""
    adc = place.adc(credentials_file=written(place.home / "named.json", text))

    said = await told(adc, place.http)

    assert expected in said and f"Run: {LOGIN}" in said
    assert said == adc.state.problem


# ---- gcloud itself


def gcloud(place: Place, script: str) -> dict[str, str]:
    """A search path with this command in it."""
    path = written(place.home / "bin/gcloud", f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)
    return {"PATH": f"{path.parent}{os.pathsep}/bin{os.pathsep}/usr/bin"}


async def test_gcloud_is_asked_where_that_is_wanted(place: Place) -> None:
    """Its file is not even read; the token is used for a while, since it does not say for how long it is good."""
    env = gcloud(place, f'echo "$*" >> {place.home}/asked; echo ya29.of-gcloud')
    adc = place.adc(env, delegate=True)

    first = await adc.token(place.http)
    again = await adc.token(place.http)
    place.clock.now += 601
    later = await adc.token(place.http)

    assert "ya29.of-gcloud" == first.access == again.access == later.access
    assert ["auth application-default print-access-token"] * 2 == (place.home / "asked").read_text().splitlines()
    assert "token from gcloud" == adc.state.told


@pytest.mark.parametrize("script", ["echo ya29.not-this; exit 1", "echo not a token", "true"])
async def test_gcloud_may_give_none(place: Place, script: str) -> None:
    """What it printed is not repeated."""
    said = await told(place.adc(gcloud(place, script), delegate=True), place.http)

    assert "gcloud" in said and "not-this" not in said and "not a token" not in said


async def test_gcloud_may_be_missing(place: Place) -> None:
    """Where it is to be asked; what to do is told."""
    adc = place.adc({"PATH": ""}, delegate=True)

    assert "Install it, or set `delegate: false`." in await told(adc, place.http)
    assert adc.state.problem


# ---- keeping a token fresh


async def test_a_token_is_kept(place: Place) -> None:
    """Until it is due, which is a little before its end."""
    place.logged_in()
    adc = place.adc()

    await adc.token(place.http)
    place.clock.now += LIFE - SKEW - 1
    kept = await adc.token(place.http)
    place.clock.now += 1
    fresh = await adc.token(place.http)

    assert ("ya29.secret-1", "ya29.secret-2") == (kept.access, fresh.access)


async def test_one_refresh_for_all(place: Place) -> None:
    """A hundred requests at an expired token ask once."""
    place.logged_in()
    adc = place.adc()
    await adc.token(place.http)
    place.clock.now += LIFE

    got = await asyncio.gather(*(adc.token(place.http) for _ in range(100)))

    assert {"ya29.secret-2"} == {one.access for one in got}
    assert 2 == len(place.google.asked("/token"))


async def test_one_refresh_for_all_that_were_refused(place: Place) -> None:
    """A hundred 401 in between ask once, too."""
    place.logged_in()
    adc = place.adc()
    old = await adc.token(place.http)

    got = await asyncio.gather(*(adc.renewed(place.http, old.access) for _ in range(100)))

    assert {"ya29.secret-2"} == {one.access for one in got if one is not None}
    assert 2 == len(place.google.asked("/token"))


async def test_a_server_that_gives_the_same_again(place: Place) -> None:
    """As the metadata server does: there is no other token than the refused one."""
    place.google.same = True
    adc = place.adc(metadata_url=place.google.url)
    old = await adc.token(place.http)

    assert await adc.renewed(place.http, old.access) is None


async def test_somebody_else_logs_in(place: Place) -> None:
    """The file has changed, so that its token is asked for, whatever is known of the old one."""
    path = place.logged_in()
    adc = place.adc()
    await adc.token(place.http)
    written(path, place.google.user_file(refresh_token="1//other!"))
    place.google.refresh_token = "1//other!"

    assert "ya29.secret-2" == (await adc.token(place.http)).access


async def test_a_login_that_was_revoked(place: Place) -> None:
    """Is told with the command, in the state too, and the server is not asked again until somebody has logged in."""
    path = place.logged_in()
    place.google.refresh_token = "1//new"
    adc = place.adc()

    first, second = await told(adc, place.http), await told(adc, place.http)

    assert all("were revoked or have ended" in one and f"Run: {LOGIN}" in one for one in (first, second, adc.state.problem))
    assert 1 == len(place.google.asked("/token"))
    written(path, place.google.user_file(refresh_token="1//new"))
    assert "ya29.secret-1" == (await adc.token(place.http)).access
    assert "" == adc.state.problem


async def test_a_server_that_is_down_for_a_while(place: Place) -> None:
    """The old token is used to its end, and the server is left alone in between."""
    place.logged_in()
    adc = place.adc()
    await adc.token(place.http)
    place.clock.now += LIFE - SKEW
    place.google.fails("/token", 503, "<html></html>")

    during = [(await adc.token(place.http)).access for _ in range(5)]
    place.clock.now += PAUSE
    after = (await adc.token(place.http)).access

    assert (["ya29.secret-1"] * 5, "ya29.secret-2") == (during, after)
    assert 3 == len(place.google.asked("/token"))


async def test_a_server_that_is_down_when_a_token_has_ended(place: Place) -> None:
    """Everybody hears of it at once, though only one has asked."""
    place.logged_in()
    adc = place.adc()
    place.google.fails("/token", 500, "<html></html>")

    got = await asyncio.gather(*(adc.token(place.http) for _ in range(10)), return_exceptions=True)

    assert {"the token server answered 500"} == {str(one).partition(": ")[2].partition(". ")[0] for one in got}
    assert 1 == len(place.google.asked("/token"))


async def test_a_server_that_is_not_there(place: Place) -> None:
    """The kind of failure is told."""
    place.logged_in()
    adc = place.adc()
    adc.token_url = "http://127.0.0.1:1/token"

    assert "the token server cannot be reached (ClientConnectorError)" in await told(adc, place.http)


async def test_a_machine_without_a_service_account(place: Place) -> None:
    """The metadata server has no token for it."""
    place.google.fails("/token", 404, "<html></html>")

    said = await told(place.adc(metadata_url=place.google.url), place.http)

    assert "knows no service account" in said and "Attach a service account to this machine" in said


async def test_what_is_no_metadata_server(place: Place) -> None:
    """Whoever answers must say that it is one."""
    place.google.fails("/token", 200, {"access_token": "ya29.trap", "expires_in": 3599})

    assert "what answered is no metadata server" in await told(place.adc(metadata_url=place.google.url), place.http)


async def test_nothing_is_written(place: Place) -> None:
    """The file, its mode and its folder stay as they are, whatever happens to tokens."""
    path = place.logged_in(unknown={"kept": True})
    path.chmod(0o600)
    before = (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns, sorted(path.parent.iterdir()))
    adc = place.adc()

    old = await adc.token(place.http)
    await adc.renewed(place.http, old.access)

    assert before == (path.read_bytes(), path.stat().st_mode, path.stat().st_mtime_ns, sorted(path.parent.iterdir()))


async def test_no_secret_is_shown(place: Place) -> None:
    """Printing shows none of a file's, and no token."""
    place.logged_in()
    adc = place.adc({"SOME_KEY": "sk-1"})

    tokens = await adc.token(place.http)

    shown = f"{adc!r} {tokens!r} {adc.state!r}"
    assert not any(one in shown for one in ("shh", "1//good", "ya29", "sk-1"))


async def test_the_quota_project_of_the_environment_counts(place: Place) -> None:
    """Before that of the file, as for google-auth."""
    place.logged_in(quota_project_id="of-the-file")

    tokens = await place.adc({"GOOGLE_CLOUD_QUOTA_PROJECT": "of-the-environment"}).token(place.http)

    assert {"quota_project": "of-the-environment"} == tokens.about
