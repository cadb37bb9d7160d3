"""The caps of an attempt on the messages path, and what is held back for its last request; pure.

A cap is not a cliff: before every request it is asked whether a last one, without tools, would still fit afterwards.
Where it wouldn't, this request is the last one. What isn't known yet is estimated from above, so that what is spent
stays within the caps wherever one request fits at all.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from dispatcher.action.decision import Caps
from dispatcher.action.observation import Call, EndedBy, ErrorType, Usage
from dispatcher.paths.sums import written_for_5m

CAP_ERRORS = {
    EndedBy.ITERATION_CAP: ErrorType.ITERATION_CAP,
    EndedBy.TOOL_CALL_CAP: ErrorType.TOOL_CALL_CAP,
    EndedBy.TOKEN_CAP: ErrorType.TOKEN_CAP,
    EndedBy.COST_CAP: ErrorType.COST_CAP,
}
"""What an attempt without a valid answer is called, by the cap that ended it."""

# The provider adds to a prompt what tools and a schema need; each message has a frame.
_PROVIDER_ADDS_TOKENS = 1_000
_FRAME_TOKENS = 200
# Our own prefix is English and JSON; of what others wrote, a token may be as short as a byte.
_PREFIX_BYTES_PER_TOKEN = 2


@dataclass(frozen=True, slots=True)
class Spending:
    """Tokens of all classes, and 10⁻⁹ US dollars."""

    tokens: int = 0
    nanousd: int = 0

    def __add__(self, other: Spending) -> Spending:
        return Spending(self.tokens + other.tokens, self.nanousd + other.nanousd)


@dataclass(frozen=True, slots=True)
class Extent:
    """How long a prompt is, in bytes: the stable prefix, all messages, and those of the user's side alone."""

    prefix: int
    messages: int
    from_user: int


@dataclass(frozen=True, slots=True)
class Reported:
    """The latest prompt whose length the provider told, in tokens, and the tokens of the reply to it."""

    extent: Extent
    prompt_tokens: int
    output_tokens: int


@dataclass(frozen=True, slots=True)
class Counts:
    """Where an attempt stands: requests that may have run, tools that were run, and what all that cost at most."""

    iterations: int
    tool_calls: int
    spent: Spending


def prompt_tokens(extent: Extent, reported: Reported | None) -> int:
    """The length of a prompt in tokens, estimated from above.

    Where the prompt before it was `reported`, only what the user's side said since is estimated.
    """
    if reported is None:
        return extent.prefix // _PREFIX_BYTES_PER_TOKEN + extent.messages + _PROVIDER_ADDS_TOKENS
    since = extent.from_user - reported.extent.from_user
    return reported.prompt_tokens + reported.output_tokens + since + _FRAME_TOKENS


@dataclass(frozen=True, slots=True)
class Allowance:
    """What the caps leave room for. `cost_nanousd` is the price of a request by its usage, for the model that
    is asked; None where unknown.
    """

    caps: Caps
    max_tokens: int
    caching: bool
    cost_nanousd: Callable[[Usage], int | None]

    def most(self, prompt: int) -> Spending:
        """What one request can use at most; where its price isn't known, only its tokens."""
        read = Usage(
            input_tokens=prompt,
            output_tokens=self.max_tokens,
            cache_read_input_tokens=0,
            cache_creation_input_tokens=0,
        )
        costs = [self.cost_nanousd(read) or 0]
        if self.caching:
            writes = replace(read, input_tokens=0, cache_creation_input_tokens=prompt)
            costs.append(self.cost_nanousd(written_for_5m(writes)) or 0)
        return Spending(prompt + self.max_tokens, max(costs))

    def used(self, call: Call | None, prompt: int) -> Spending:
        """What a request used: what was reported of it, and at most for a prompt of this length where that isn't whole.

        None stands for a request of which nothing was. One by a model without a price is priced as the one asked for:
        a cap that waited for unknown figures would never hold.
        """
        usage = Usage() if call is None else call.usage
        if call is None or usage.prompt_tokens is None or usage.output_tokens is None:
            told = (usage.input_tokens, usage.cache_read_input_tokens, usage.cache_creation_input_tokens)
            return self.most(max(prompt, sum(tokens or 0 for tokens in told)))
        cost = call.cost_nanousd
        if cost is None:
            cost = self.cost_nanousd(usage)
        if cost is None:
            cost = self.cost_nanousd(written_for_5m(usage))
        return Spending(usage.prompt_tokens + usage.output_tokens, cost or 0)

    def ends_before(self, prompt: int, demand: int, counts: Counts) -> EndedBy | None:
        """The cap that leaves no room for a request and a last one after it; None where both fit.

        `prompt` is the request's length in tokens and `demand` that of the demand for the answer. The reply, and the
        shortest results of what it calls, lengthen the last prompt by at most `max_tokens` each.
        """
        if counts.iterations + 1 >= self.caps.iterations:
            return EndedBy.ITERATION_CAP
        if counts.tool_calls >= self.caps.tool_calls:
            return EndedBy.TOOL_CALL_CAP
        last = self.most(prompt + 2 * self.max_tokens + demand)
        return self._exceeded(counts.spent + self.most(prompt) + last)

    def refuses(self, prompt: int, counts: Counts) -> EndedBy | None:
        """The cap that leaves no room for even one request; None where it fits."""
        if counts.iterations >= self.caps.iterations:
            return EndedBy.ITERATION_CAP
        return self._exceeded(counts.spent + self.most(prompt))

    def _exceeded(self, spending: Spending) -> EndedBy | None:
        if spending.tokens > self.caps.tokens:
            return EndedBy.TOKEN_CAP
        if spending.nanousd > self.caps.cost_nanousd:
            return EndedBy.COST_CAP
        return None
