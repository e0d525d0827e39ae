"""A provider's JSON becomes events: chunk after chunk of a stream, or a whole body, which is read as one big chunk.

Rules that hold here (each has a test named after it):

- A ``message`` is read as the one ``delta`` there is, so a whole reply and a streamed one cannot be understood differently.
- Blocks of text, reasoning and refusal follow one another; blocks of tool calls stay open till their choice ends, because
  providers interleave parallel calls.
- ``Stop`` comes with the ``finish_reason``; a choice that ended without one gets its ``Stop`` from ``finish``.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import count
from typing import Any, Final, Literal

from attrs import define, field

from llmgw.events import (
    BlockDelta,
    BlockKind,
    BlockMeta,
    BlockStart,
    BlockStop,
    Channel,
    Event,
    ResponseStart,
    Stop,
    StopReason,
    UsageUpdate,
)
from llmgw.model import JSON, Citation
from llmgw_dialects.openai_chat.calls import CallReader
from llmgw_dialects.openai_chat.names import NAME, choices_of, index_of
from llmgw_dialects.openai_chat.reasoning import details_carrier, details_text, join_details
from llmgw_dialects.openai_chat.stops import read_stop
from llmgw_dialects.openai_chat.usage import read_usage

_ENVELOPE: Final = frozenset({"id", "object", "created", "model", "choices", "usage", "error"})
_PLAIN: Final = frozenset({"index", "delta", "finish_reason", "logprobs"})
_THOUGHTS: Final = frozenset({"reasoning_content", "reasoning", "reasoning_details"})
_CHANNELS: Final[dict[BlockKind, Channel]] = {
    "text": "text",
    "reasoning": "reasoning_raw",
    "refusal": "refusal",
    "media": "media",
}


@define(eq=False)
class ChunkReader:
    """Reads the chunks of one reply, in their order.

    Args:
        whole: the one chunk is a whole body.
    """

    whole: bool = False
    started: bool = False
    _id: str = ""
    _choices: dict[int, ChoiceReader] = field(factory=dict)

    def read(self, name: str, tree: dict[str, Any]) -> list[Event]:
        """What one chunk, or a whole body, says; nothing if it says nothing."""
        if (more := self._more(tree)) is not None:
            return [more]
        events: list[Event] = []
        choices = choices_of(tree)
        usage = read_usage(tree.get("usage"))
        # Azure's first chunk has neither an id nor a choice, only its filter's verdict on the prompt
        if not self.started and (choices or usage or tree.get("id")):
            events.append(self._start(tree))
        for position, choice in enumerate(choices):
            events += self.choice(index_of(choice, position)).read(choice)
        if usage is not None:
            events.append(UsageUpdate(usage=usage))
        return events

    def _more(self, tree: dict[str, Any]) -> BlockDelta | None:
        """What nearly every chunk says, found without looking at all that it might: more of the text that is being said."""
        choices = tree.get("choices")
        if not isinstance(choices, list) or len(choices) != 1 or tree.get("usage"):
            return None
        choice = choices[0]
        delta = choice.get("delta") if isinstance(choice, dict) and choice.keys() <= _PLAIN else None
        if not isinstance(delta, dict) or len(delta) != 1 or choice.get("finish_reason") or choice.get("logprobs"):
            return None
        text, reader = delta.get("content"), self._choices.get(choice.get("index", -1))
        return reader.more(text) if text and isinstance(text, str) and reader is not None and reader.says_text else None

    def choice(self, index: int) -> ChoiceReader:
        """The reader of one choice."""
        if index not in self._choices:
            self._choices[index] = ChoiceReader(index, self._id, self.whole)
        return self._choices[index]

    def finish(self) -> list[Event]:
        """The provider says that all is said: the stops that did not come."""
        return [event for choice in self._choices.values() for event in choice.finish("")]

    @property
    def complete(self) -> bool:
        """Whether each choice that began has ended."""
        return bool(self._choices) and all(choice.ended for choice in self._choices.values())

    @property
    def empty(self) -> bool:
        """Whether no choice has begun."""
        return not self._choices

    def _start(self, tree: dict[str, Any]) -> ResponseStart:
        self.started = True
        self._id = _text(tree, "id")
        created = tree.get("created")
        extras = {key: value for key, value in tree.items() if key not in _ENVELOPE}
        return ResponseStart(
            id=self._id or None,
            model=_text(tree, "model") or None,
            created=int(created) if isinstance(created, (int, float)) else None,
            extras={NAME: extras} if extras else {},
        )


@define(eq=False)
class ChoiceReader:
    """Reads one choice's deltas; ``_open`` is its block of text, reasoning, refusal or sound that may still grow."""

    index: int
    _salt: str
    _whole: bool
    ended: bool = False
    _open: BlockKind | None = None
    _block: int = -1
    _blocks: Iterator[int] = field(factory=count)
    _calls: CallReader = field(init=False)
    _details: list[JSON] = field(factory=list)
    _plain: bool = False

    def __attrs_post_init__(self) -> None:
        self._calls = CallReader(self.index, self._salt, self._blocks)

    @property
    def says_text(self) -> bool:
        """Whether a text is open that may grow."""
        return self._open == "text" and not self.ended

    def more(self, text: str) -> BlockDelta:
        """More of the text that is open."""
        return BlockDelta(index=self._block, choice=self.index, channel="text", fragment=text)

    def read(self, choice: dict[str, Any]) -> list[Event]:
        """What a choice of a chunk says."""
        events = list(self._read(choice))
        reason = choice.get("finish_reason")
        if isinstance(reason, str) and reason:
            events += self.finish(reason)
        elif self.ended:  # something came behind the end: it is told, and closed at once
            events += self._close()
        return events

    def finish(self, reason: str) -> list[Event]:
        """The choice ends, unless it has ended before."""
        if self.ended:
            return self._close()
        self.ended = True
        stop = read_stop(reason, called=self._calls.seen) if reason else StopReason("other")
        return [*self._close(), Stop(choice=self.index, reason=stop)]

    def _read(self, choice: dict[str, Any]) -> Iterator[Event]:
        # Perplexity sends both: in a stream the message so far beside the delta, in a whole body an empty delta
        keys = ("message", "delta") if self._whole else ("delta", "message")
        given = choice.get(keys[0])
        given = given if isinstance(given, dict) else choice.get(keys[1])
        # most say one thing at a time, and null or nothing under all other keys
        said = {key: value for key, value in given.items() if value} if isinstance(given, dict) else {}
        if not said.keys().isdisjoint(_THOUGHTS):
            yield from self._reasoning(said)
        if "content" in said:
            yield from self._content(said["content"])
        if "refusal" in said:
            yield from self._grow("refusal", _text(said, "refusal"))
        logprobs = choice.get("logprobs")
        told = list(self._logprobs(logprobs, None if self._open is None else self._block)) if logprobs else []
        yield from told
        if "tool_calls" in said or "function_call" in said:
            yield from self._tools(said)
        if logprobs and not told:  # some count the tokens of calls in
            yield from self._logprobs(logprobs, self._calls.last)
        if "audio" in said:
            yield from self._audio(said["audio"])
        if "annotations" in said:
            yield from self._annotations(said["annotations"])

    def _reasoning(self, delta: dict[str, Any]) -> Iterator[Event]:
        plain = dict.fromkeys(text for key in ("reasoning_content", "reasoning") if (text := _text(delta, key)))
        for text in plain:  # some send the same text under both keys
            self._plain = True
            yield from self._grow("reasoning", text)
        details = delta.get("reasoning_details")
        if isinstance(details, list) and details:
            yield from self._begin("reasoning")
            if not self._plain:
                yield from self._grow("reasoning", details_text(details))
            join_details(self._details, details)
            yield self._meta("extra", {"reasoning_details": details})

    def _content(self, content: JSON) -> Iterator[Event]:
        if isinstance(content, str):
            yield from self._grow("text", content)
        elif isinstance(content, list):  # Mistral
            for entry in content:
                yield from self._entry(entry)

    def _entry(self, entry: JSON) -> Iterator[Event]:
        match entry:
            case {"type": "text", "text": str(text)}:
                yield from self._grow("text", text)
            case {"type": "thinking", "thinking": list(inner)}:
                yield from self._grow("reasoning", "".join(_text(one, "text") for one in inner if isinstance(one, dict)))
            case {"type": "thinking", "thinking": str(text)}:
                yield from self._grow("reasoning", text)
            case str(text):
                yield from self._grow("text", text)
            case _:
                kind = _text(entry, "type") if isinstance(entry, dict) else ""
                yield from self._end_block()
                yield self._new("opaque", {"dialect": NAME, "type": kind, "raw": entry})
                yield BlockStop(index=self._block, choice=self.index)
                self._open = None

    def _tools(self, delta: dict[str, Any]) -> Iterator[Event]:
        given = delta.get("tool_calls")
        entries = given if isinstance(given, list) else []
        legacy = delta.get("function_call")
        if isinstance(legacy, dict) and (legacy.get("name") or legacy.get("arguments")):
            entries = [*entries, {"index": -1, "id": None, "function": legacy}]
        for position, entry in enumerate(entries):
            if isinstance(entry, dict):
                yield from self._end_block()
                yield from self._calls.read(entry, position)

    def _audio(self, audio: JSON) -> Iterator[Event]:
        if not isinstance(audio, dict) or not any(audio.values()):
            return
        if self._open != "media":
            known = {key: audio[key] for key in ("id", "transcript", "expires_at") if audio.get(key) is not None}
            yield from self._end_block()
            yield self._new("media", {"type": "audio", **known})
        elif more := {key: audio[key] for key in ("transcript", "expires_at") if audio.get(key) is not None}:
            yield self._meta("extra", more)
        yield from self._grow("media", _text(audio, "data"))

    def _annotations(self, annotations: JSON) -> Iterator[Event]:
        for entry in annotations if isinstance(annotations, list) else ():
            if self._open != "text":
                yield from self._begin("text")
            citation = _citation(entry)
            if citation is not None:
                yield self._meta("citation", citation)
            else:
                yield self._meta("extra", {"annotations": [_without_index(entry)]})

    def _logprobs(self, logprobs: JSON, block: int | None) -> Iterator[Event]:
        if block is None or not isinstance(logprobs, dict):
            return
        values = logprobs.get("refusal") if self._open == "refusal" else logprobs.get("content")
        if isinstance(values, list) and values:
            yield BlockMeta(index=block, choice=self.index, what="logprobs", value=values)

    def _grow(self, kind: BlockKind, fragment: str) -> Iterator[Event]:
        if fragment:
            yield from self._begin(kind)
            yield BlockDelta(index=self._block, choice=self.index, channel=_CHANNELS[kind], fragment=fragment)

    def _begin(self, kind: BlockKind) -> Iterator[Event]:
        if self._open != kind:
            yield from self._end_block()
            yield self._new(kind, {})

    def _new(self, kind: BlockKind, meta: dict[str, JSON]) -> Event:
        self._open, self._block = kind, next(self._blocks)
        return BlockStart(index=self._block, choice=self.index, kind=kind, meta=meta)

    def _end_block(self) -> Iterator[Event]:
        if self._open is None:
            return
        if self._open == "reasoning" and self._details:
            yield self._meta("carrier", details_carrier(self._details))
            self._details = []
        self._open = None
        yield BlockStop(index=self._block, choice=self.index)

    def _close(self) -> list[Event]:
        return [*self._end_block(), *self._calls.close()]

    def _meta(self, what: Literal["citation", "logprobs", "carrier", "extra"], value: JSON) -> Event:
        return BlockMeta(index=self._block, choice=self.index, what=what, value=value)


def _text(node: dict[str, Any], key: str) -> str:
    value = node.get(key)
    return value if isinstance(value, str) else ""


def _without_index(entry: JSON) -> JSON:
    """The index only serves the stream."""
    return {key: value for key, value in entry.items() if key != "index"} if isinstance(entry, dict) else entry


def _citation(entry: JSON) -> Citation | None:
    match entry:
        case {"type": "url_citation", "url_citation": dict(cited)}:
            raw = _without_index(entry)
            start, end = cited.get("start_index"), cited.get("end_index")
            return Citation("url", url=cited.get("url"), title=cited.get("title"), start=start, end=end, raw=raw)
        case _:
            return None
