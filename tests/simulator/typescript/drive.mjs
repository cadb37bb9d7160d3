// Drives the simulator with the official TypeScript SDK: a streamed tool loop, then a managed session.
// Arguments: the job as JSON. Prints one line of JSON with what came of both.
import { execFileSync } from 'node:child_process'
import { createRequire } from 'node:module'
import { readFileSync } from 'node:fs'
import { join } from 'node:path'

const job = JSON.parse(process.argv[2])
// The SDK is installed elsewhere, so that the source tree stays free of node_modules.
const require = createRequire(join(job.modules, 'package.json'))
const { default: Anthropic } = require('@anthropic-ai/sdk')
const client = new Anthropic({ apiKey: 'key-ts', baseURL: job.baseUrl, maxRetries: 0, timeout: 20_000 })

const git = (...args) => {
  try {
    return execFileSync('git', args, { cwd: job.repository, encoding: 'utf8' })
  } catch (error) {
    return error.stdout
  }
}

const tools = {
  search_code: ({ pattern }) => git('grep', '-n', '-I', '-E', '-e', pattern) || '(no line matches)',
  list_files: () => git('ls-files'),
  read_file: ({ path, start_line = 1, end_line }) =>
    readFileSync(join(job.repository, path), 'utf8')
      .split('\n')
      .slice(start_line - 1, end_line)
      .map((line, index) => `${start_line + index}\t${line}`)
      .join('\n'),
}

async function messagesLoop() {
  const messages = [{ role: 'user', content: job.question }]
  for (let requests = 1; ; requests++) {
    const stream = client.messages.stream({
      model: job.model,
      max_tokens: 4096,
      messages,
      tools: job.tools,
      output_config: { format: { type: 'json_schema', schema: job.schema } },
    })
    const reply = await stream.finalMessage()
    if (reply.stop_reason !== 'tool_use') {
      return { requests, stopReason: reply.stop_reason, report: JSON.parse(reply.content[0].text), usage: reply.usage }
    }
    const calls = reply.content.filter((block) => block.type === 'tool_use')
    const results = calls.map((call) => ({
      type: 'tool_result',
      tool_use_id: call.id,
      content: tools[call.name](call.input),
    }))
    messages.push({ role: 'assistant', content: reply.content }, { role: 'user', content: results })
  }
}

async function managedSession() {
  const { agents, environments, sessions } = client.beta
  const agent = await agents.create({ name: 'ts', model: job.model, tools: job.managedTools })
  const environment = await environments.create({ name: 'ts', config: { type: 'cloud' } })
  const session = await sessions.create({
    agent: { type: 'agent', id: agent.id, version: agent.version },
    environment_id: environment.id,
    resources: [job.resource],
  })
  // The stream is opened first: it has no replay.
  const stream = await sessions.events.stream(session.id)
  await sessions.events.send(session.id, {
    events: [{ type: 'user.message', content: [{ type: 'text', text: job.question }] }],
  })
  const types = []
  let report
  for await (const event of stream) {
    types.push(event.type)
    if (event.type === 'agent.custom_tool_use') {
      report = event.input
      await sessions.events.send(session.id, {
        events: [{ type: 'user.custom_tool_result', custom_tool_use_id: event.id, content: [{ type: 'text', text: 'ok' }] }],
      })
    }
    if (event.type === 'session.status_idle' && event.stop_reason.type !== 'requires_action') {
      const listed = []
      for await (const past of sessions.events.list(session.id, { types: ['span.model_request_end'], limit: 2 })) {
        listed.push(past.id)
      }
      return { types, report, stopReason: event.stop_reason.type, requests: new Set(listed).size }
    }
  }
  throw new Error('the stream ended before the session was idle')
}

async function refusal() {
  try {
    await client.messages.create({ model: 'claude-nobody', max_tokens: 9, messages: [{ role: 'user', content: 'x' }] })
  } catch (error) {
    return { kind: error.constructor.name, status: error.status, requestId: error.requestID }
  }
}

const outcome = { messages: await messagesLoop(), managed: await managedSession(), refusal: await refusal() }
console.log(JSON.stringify(outcome))
