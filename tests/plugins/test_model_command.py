from __future__ import annotations

from typing import Any

from llmgw_testing import RunningGateway, whole

CHAT = {"id": "x", "object": "chat.completion", "created": 1, "model": "m", "choices": [
    {"index": 0, "message": {"role": "assistant", "content": "Hi."}, "finish_reason": "stop"}]}  # fmt: skip


def deployment(provider: Any, **more: Any) -> dict[str, Any]:
    backends = {name: {"type": "openai", "base_url": provider.base_url, "api_key": "env:KEY"} for name in ("one", "two")}
    return {"backends": backends, "default_backend": "one", "commands": ["model-command"], **more}


async def asked(running: RunningGateway, *said: str, model: str = "one:a", **headers: str) -> Any:
    """The answer to a history in which the user and the model take turns."""
    roles = ("user", "assistant")
    messages = [{"role": roles[number % 2], "content": text} for number, text in enumerate(said)]
    return await running.post({"model": model, "messages": messages}, **headers)


async def test_it_holds_for_the_conversation(provider: Any, gateway: Any) -> None:
    """The gateway itself answers the command; the turns that follow go to the model that was chosen."""
    provider.answers(whole(CHAT))
    running = await gateway(deployment(provider), env={"KEY": "k"})
    _, answer = await asked(running, "!/model(two:b)")
    said = answer["choices"][0]["message"]["content"]
    await asked(running, "!/model(two:b)", said, "Hello")

    assert "This conversation uses two:b from now on." == said
    assert ["b"] == [seen.json["model"] for seen in provider.seen]


async def test_another_conversation_is_left_alone(provider: Any, gateway: Any) -> None:
    """Who begins otherwise, or names another session, gets what its client asks for."""
    provider.answers(whole(CHAT))
    running = await gateway(deployment(provider), env={"KEY": "k"})
    await asked(running, "!/model(two:b)", x_session_id="mine")
    await asked(running, "Hello", x_session_id="mine")
    await asked(running, "Hello", x_session_id="yours")
    await asked(running, "Hello")

    assert ["b", "a", "a"] == [seen.json["model"] for seen in provider.seen]


async def test_it_is_taken_back(provider: Any, gateway: Any) -> None:
    """Without a name the client's own word counts again."""
    provider.answers(whole(CHAT))
    running = await gateway(deployment(provider), env={"KEY": "k"})
    await asked(running, "!/model(two:b)", x_session_id="mine")
    await asked(running, "!/model()", x_session_id="mine")
    await asked(running, "Hello", x_session_id="mine")

    assert ["a"] == [seen.json["model"] for seen in provider.seen]


async def test_an_unknown_model_changes_nothing(provider: Any, gateway: Any) -> None:
    """A name that nobody knows is answered with the nearest ones."""
    provider.answers(whole(CHAT))
    running = await gateway(deployment(provider, default_backend=None), env={"KEY": "k"})
    _, answer = await asked(running, "!/model(tow:b)", x_session_id="mine")
    await asked(running, "Hello", x_session_id="mine")

    assert "two:b" in answer["choices"][0]["message"]["content"]
    assert ["a"] == [seen.json["model"] for seen in provider.seen if seen.method == "POST"]


async def test_with_text_besides(provider: Any, gateway: Any) -> None:
    """The command takes effect at once, and the rest of the message goes on."""
    provider.answers(whole(CHAT))
    running = await gateway(deployment(provider), env={"KEY": "k"})
    await asked(running, "Hello !/model(two:b)", x_session_id="mine")

    assert [("b", "Hello")] == [(seen.json["model"], seen.json["messages"][0]["content"]) for seen in provider.seen]


async def test_two_callers_do_not_meet(provider: Any, gateway: Any) -> None:
    """The same name of a session is another's with another key."""
    provider.answers(whole(CHAT))
    config = deployment(provider, auth={"keys": {"alice": {"key": "env:ALICE"}, "bob": {"key": "env:BOB"}}})
    running = await gateway(config, env={"KEY": "k", "ALICE": "alices-key", "BOB": "bobs-key"})
    await asked(running, "!/model(two:b)", x_session_id="s", authorization="Bearer alices-key")
    await asked(running, "Hello", x_session_id="s", authorization="Bearer bobs-key")
    await asked(running, "Hello", x_session_id="s", authorization="Bearer alices-key")

    assert ["a", "b"] == [seen.json["model"] for seen in provider.seen]


async def test_a_key_chooses_only_what_it_may(provider: Any, gateway: Any) -> None:
    """A choice is judged as if the client had asked for it, when it is made and when it is used."""
    provider.answers(whole(CHAT))
    keys = {"alice": {"key": "env:ALICE", "routes": ["one:a"]}}
    running = await gateway(deployment(provider, auth={"keys": keys}), env={"KEY": "k", "ALICE": "alices-key"})
    who = {"x_session_id": "s", "authorization": "Bearer alices-key"}
    _, answer = await asked(running, "!/model(two:b)", **who)
    status, _ = await asked(running, "Hello !/model(two:b)", **who)
    await asked(running, "Hello", **who)

    assert "may not use 'two:b'" in answer["choices"][0]["message"]["content"]
    assert (200, ["a", "a"]) == (status, [seen.json["model"] for seen in provider.seen])
