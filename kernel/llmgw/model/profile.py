"""What a model can do and what its provider refuses, as data."""

from __future__ import annotations

from typing import Literal

from attrs import frozen


@frozen(kw_only=True)
class Profile:
    """What is known of a model behind a dialect; what is not known is taken to be possible.

    Args:
        context: tokens of prompt and answer together.
        max_output: most tokens an answer may be given.
        default_output: tokens to ask for where the client does not say and the dialect must.
        min_output: fewest tokens an answer may be given.
        inputs: what a prompt may hold beside text: ``image``, ``document``, ``audio``, ``video``.
        url_inputs: which of these may be given as a URL.
        result_media: whether tool results may hold pictures and documents.
        sampling: the fields of ``Sampling`` it takes, by their names.
        temperature: least and most.
        one_sampler: whether it takes either a temperature or ``top_p``, not both.
        stop_max: most stop sequences; 0 for none.
        stop_blank: whether a stop sequence may be white space alone.
        n_max: most answers to one request.
        thinking: how it is told to think: by an effort (``effort``), by itself with an effort as advice (``adaptive``), by a
            budget of tokens (``budget``), by a level (``level``), or not at all (``none``).
        efforts: the efforts or levels it knows, from the least to the most.
        budget: least and most tokens of thinking.
        can_disable: whether thinking can be switched off.
        samples_thinking: whether it takes sampling fields while it thinks.
        replays_thinking: whether thoughts without a carrier must be sent back within a tool loop.
        parallel_switch: whether parallel calls can be forbidden.
        forced_choice: when a tool can be forced: ``always``, ``without_thinking``, ``never``.
        allowed_choice: whether a choice can be limited to some of the tools that are sent.
        validated_choice: whether a model can be held to valid calls without being made to call.
        custom_tools: whether there are tools that take free text.
        namespaces: whether tools stand in namespaces.
        tool_name: a pattern of names it takes.
        tool_name_max: characters of a name.
        call_id: a pattern of call ids it takes.
        call_id_max: characters of a call id.
        tools_max: most tools.
        server_tools: kinds of built-in tools it runs.
        schema: the JSON Schema of tools it takes: all (``full``), a subset of it (``subset``), OpenAPI's (``openapi``).
        object_arguments: whether arguments must be a JSON object.
        calls_need_tools: whether a history with calls needs tools beside it.
        takes_details: whether it takes back the ``reasoning_details`` that some servers of Chat Completions give.
        json_schema: whether an answer can be held to a schema.
        json_object: whether an answer can be held to being JSON.
        json_with_tools: whether that goes together with tools.
        prefill: whether the last message may be the assistant's, to be continued.
        mid_instructions: whether system messages may stand in the middle.
        developer: whether there is a role ``developer`` beside ``system``.
        user_first: whether the first turn must be the user's.
        empty_text: whether a text may be empty.
        marks_max: most prompt-cache breakpoints; 0 where there are none.
        automatic_marks: whether nothing is cached without a mark.
        bypass: what stands for a missing carrier on the first call of a step, where one is demanded.
        counts: whether it counts tokens when asked.
        refuses: top-level fields of its wire format that it is known to refuse, as ``store``.
    """

    context: int | None = None
    max_output: int | None = None
    default_output: int | None = None
    min_output: int | None = None
    inputs: frozenset[str] = frozenset({"image", "document", "audio", "video"})
    url_inputs: frozenset[str] = frozenset({"image", "document"})
    result_media: bool = True
    sampling: frozenset[str] = frozenset(
        {"max_output", "temperature", "top_p", "top_k", "frequency_penalty", "presence_penalty", "seed", "stop", "n", "logprobs",
         "top_logprobs", "logit_bias", "verbosity", "modalities", "audio_out", "prediction"}
    )  # fmt: skip
    temperature: tuple[float, float] = (0.0, 2.0)
    one_sampler: bool = False
    stop_max: int | None = None
    stop_blank: bool = True
    n_max: int | None = None
    thinking: Literal["effort", "adaptive", "budget", "level", "none"] = "effort"
    efforts: tuple[str, ...] = ("none", "minimal", "low", "medium", "high", "xhigh", "max")
    budget: tuple[int, int] | None = None
    can_disable: bool = True
    samples_thinking: bool = True
    replays_thinking: bool = False
    parallel_switch: bool = True
    forced_choice: Literal["always", "without_thinking", "never"] = "always"
    allowed_choice: bool = True
    validated_choice: bool = False
    custom_tools: bool = False
    namespaces: bool = False
    tool_name: str = r"[a-zA-Z0-9_-]+"
    tool_name_max: int = 64
    call_id: str = r"[a-zA-Z0-9_-]+"
    call_id_max: int = 64
    tools_max: int | None = None
    server_tools: frozenset[str] = frozenset()
    schema: Literal["full", "subset", "openapi"] = "full"
    object_arguments: bool = False
    calls_need_tools: bool = False
    takes_details: bool = False
    json_schema: bool = True
    json_object: bool = True
    json_with_tools: bool = True
    prefill: bool = False
    mid_instructions: bool = True
    developer: bool = True
    user_first: bool = False
    empty_text: bool = True
    marks_max: int = 0
    automatic_marks: bool = False
    bypass: str | None = None
    counts: bool = False
    refuses: frozenset[str] = frozenset()
