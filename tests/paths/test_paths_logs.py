"""No line of a log holds a question, a token or a key, whatever level is set."""

from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from scripted_provider import answering, provider

_PROGRAM = """
import asyncio, logging, sys
from pydantic import SecretStr
from dispatcher.paths.claude import Claude

logging.basicConfig(level=logging.DEBUG)

async def main():
    claude = Claude(api_key=SecretStr("key-of-ours"), base_url=sys.argv[1], simulated=False)
    logging.getLogger("anthropic").setLevel(logging.DEBUG)
    logging.getLogger("anthropic._base_client").setLevel(logging.DEBUG)
    question = [{"role": "user", "content": "the secret question"}]
    extra = {"resources": [{"authorization_token": "token-of-theirs"}]}
    create = claude.client().messages.create
    stream = await create(model="m", max_tokens=1, messages=question, extra_body=extra, stream=True)
    async for _ in stream:
        pass

asyncio.run(main())
"""


@pytest.mark.parametrize("wished", ["", "debug"])
async def test_no_body_of_a_request_reaches_a_log(wished: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ANTHROPIC_LOG", wished)
    async with provider([answering()]) as scripted:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", _PROGRAM, scripted.base_url, stderr=subprocess.PIPE
        )
        _, stderr = await process.communicate()
    logged = stderr.decode()

    assert process.returncode == 0, logged
    assert scripted.requests[0]["resources"] == [{"authorization_token": "token-of-theirs"}]
    assert "DEBUG" in logged
    for secret in ("key-of-ours", "secret question", "token-of-theirs"):
        assert secret not in logged
