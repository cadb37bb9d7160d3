"""The `messages` path: our own tool loop on the Messages API."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from dispatcher.action.decision import PathName
from dispatcher.action.event import CapReached
from dispatcher.action.observation import EndedBy, Usage
from dispatcher.paths.claude import Claude, UnexpectedReply
from dispatcher.paths.messages.ending import InvalidReport, answered, capped, failed, no_room, unusable
from dispatcher.paths.messages.limits import Allowance, Counts, Reported, Spending, prompt_tokens
from dispatcher.paths.messages.prompt import Prompt
from dispatcher.paths.messages.reply import tool_uses_in
from dispatcher.paths.messages.request import BrokenOff, Request
from dispatcher.paths.messages.tools import cut_results, longest_result, tool_results
from dispatcher.paths.observation import Observer
from dispatcher.paths.path import Job, Outcome
from dispatcher.paths.prompt import PREFIX, answer_now_text, changed_sections, repair_text
from dispatcher.paths.repository.tools import RepositoryTools
from dispatcher.paths.retry import failure_in, retried
from dispatcher.paths.timing import Marker

if TYPE_CHECKING:
    from anthropic import AsyncAnthropic

_ANSWER_NOW = answer_now_text(PathName.MESSAGES)
_SHORTEST_RESULT_CHARS = 100


class MessagesPath:
    """Carries out an attempt with streamed requests, running the tools here between them."""

    def __init__(self, claude: Claude) -> None:
        self._claude = claude

    async def run(self, job: Job, observer: Observer) -> Outcome:
        """Carry out one attempt; see `Path`."""
        conversation = _Conversation(self._claude.client(), job, observer)
        try:
            return await conversation.run()
        except _NoRoom as full:
            return no_room(full.cap)
        except Exception as error:
            failure = failure_in(error)
            if failure is None:
                raise
            return failed(conversation.request.reply, failure, conversation.request.stage)
        finally:
            conversation.tell_what_broke_off()


class _NoRoom(Exception):
    """A cap leaves no room for even one more request."""

    def __init__(self, cap: EndedBy) -> None:
        self.cap = cap
        super().__init__(cap)


class _Conversation:
    """One attempt: the prompt so far, the request at hand, and the cap at which the answer was demanded."""

    def __init__(self, client: AsyncAnthropic, job: Job, observer: Observer) -> None:
        assert job.variant.max_tokens is not None
        self.request = Request(client, observer)
        self._client = client
        self._job = job
        self._observer = observer
        self._tools = RepositoryTools(job.checkout)
        self._prompt = Prompt(job)
        self._allowance = Allowance(job.caps, job.variant.max_tokens, job.variant.prompt_caching, self._cost)
        self._reported: Reported | None = None
        self._spent = Spending()
        self._cap: EndedBy | None = None
        self._repaired = False
        self._heard = True

    async def run(self) -> Outcome:
        """Ask and answer until the model is done or a cap is reached."""
        observer, job = self._observer, self._job
        observer.transcript_form = self._prompt.form
        observer.section_fingerprints = self._prompt.section_fingerprints()
        observer.prefix_fingerprint = observer.section_fingerprints[PREFIX]
        observer.mark(Marker.READY)
        while True:
            await retried(self._send, policy=job.retries, observer=observer, deadline_ns=job.deadline_ns)
            outcome = self._ending()
            if outcome is not None:
                return outcome
            await self._run_tools()

    async def _send(self) -> None:
        """Send the prompt and take the reply: as an ordinary request, or as the last one where a cap is reached."""
        prompt, observer = self._prompt, self._observer
        length = self._make_room()
        self._note_prefix()
        extent, fingerprint = prompt.extent(), prompt.fingerprint()
        observer.prompt_fingerprint = observer.prompt_fingerprint or fingerprint
        observer.work = list(prompt.turn)
        self.request, self._heard = Request(self._client, observer), False
        begun = observer.iterations
        try:
            await self.request.send(prompt.parameters(with_tools=self._cap is None), fingerprint)
        except Exception as error:
            if observer.iterations > begun:
                self._lose(error, length)
            raise
        self._spend(length)
        usage = self.request.reply.usage or Usage()
        if usage.prompt_tokens is not None and usage.output_tokens is not None:
            self._reported = Reported(extent, usage.prompt_tokens, usage.output_tokens)

    def _spend(self, length: int) -> None:
        self._spent += self._allowance.used(self.request.call, length)

    def _lose(self, error: Exception, length: int) -> None:
        """Count what a lost request may have used; raises its failure as a lasting one where no cap has room for it."""
        self._spend(length)
        failure = failure_in(error)
        if failure is not None and self._refused(0 if self._cap else len(_ANSWER_NOW)) is not None:
            raise BrokenOff(replace(failure, transient=False)) from error

    def _make_room(self) -> int:
        """The prompt's length in tokens at most, after whatever a cap asks for. Raises _NoRoom."""
        if self._cap is None:
            reached = self._allowance.ends_before(self._length(), len(_ANSWER_NOW), self._counts())
            if reached is None:
                return self._length()
            self._prompt.say_text(_ANSWER_NOW)
            refused = self._shorten_until_it_fits()
            if refused is not None:
                raise _NoRoom(refused)
            self._cap = reached
            self._observer.tell(CapReached(ended_by=reached))
        elif refused := self._refused():
            raise _NoRoom(refused)
        return self._length()

    def _shorten_until_it_fits(self) -> EndedBy | None:
        """Cut the newest tool results, all alike, until the last request fits; the cap that still refuses it."""
        said = self._prompt.turn[-1]["content"]
        most = longest_result(said)
        while (refused := self._refused()) is not None and most > _SHORTEST_RESULT_CHARS:
            most //= 2
            self._prompt.replace_newest(cut_results(said, most))
        return refused

    def _refused(self, more: int = 0) -> EndedBy | None:
        return self._allowance.refuses(self._length() + more, self._counts())

    def _length(self) -> int:
        return prompt_tokens(self._prompt.extent(), self._reported)

    def _counts(self) -> Counts:
        observer = self._observer
        return Counts(observer.iterations, observer.tool_calls, self._spent)

    def _cost(self, usage: Usage) -> int | None:
        return self._observer.prices.cost_nanousd(self._job.variant.model, usage, self._observer.on)

    def _note_prefix(self) -> None:
        """Name what differs from the first request's prefix: the cache of everything before is lost then."""
        observer = self._observer
        if self._prompt.prefix_fingerprint() != observer.prefix_fingerprint:
            changed = changed_sections(observer.section_fingerprints, self._prompt.section_fingerprints())
            observer.prefix_changed = tuple(dict.fromkeys((*observer.prefix_changed, *changed)))

    def _ending(self) -> Outcome | None:
        """How the attempt ends with the reply at hand; None where the conversation goes on."""
        reply = self.request.reply
        ended = unusable(reply)
        if ended is not None:
            return ended
        if reply.stop_reason not in {"end_turn", "tool_use", "pause_turn"}:
            raise UnexpectedReply(f"the reply stopped for a reason not known here: {str(reply.stop_reason)[:40]!r}")
        content = reply.content
        if bool(tool_uses_in(content)) is not (reply.stop_reason == "tool_use"):
            raise UnexpectedReply("the reply's tool calls and its reason to stop don't fit")
        self._prompt.hear(content)
        self._heard = True
        self._observer.work = list(self._prompt.turn)
        if reply.stop_reason == "end_turn":
            return self._answer()
        return None if self._cap is None else capped(reply, self._cap)

    def _answer(self) -> Outcome | None:
        """The ending with a reply that should be the report; None where it is sent back to be mended, once."""
        reply = self.request.reply
        answer = answered(reply, self._cap)
        if not isinstance(answer, InvalidReport):
            return answer
        demand = repair_text(answer.told)
        more = len(demand.encode()) + (len(_ANSWER_NOW) if self._cap is None else 0)
        if not self._repaired and self._refused(more) is None:
            self._repaired = True
            self._observer.repair()
            self._prompt.say_text(demand)
            return None
        return answer.outcome(reply) if self._cap is None else capped(reply, self._cap)

    async def _run_tools(self) -> None:
        """Answer the reply's tool calls, where it stopped for some."""
        if self.request.reply.stop_reason != "tool_use":
            return
        uses = tool_uses_in(self.request.reply.content)
        room = self._job.caps.tool_calls - self._observer.tool_calls
        self._prompt.say(await tool_results(self._tools, uses, self._observer, room=room))
        self._observer.work = list(self._prompt.turn)

    def tell_what_broke_off(self) -> None:
        """Add to the work what there is of a reply that the conversation couldn't go on with."""
        said = self.request.reply.partial
        if said and not self._heard:
            self._observer.work.append({"role": "assistant", "content": said})
