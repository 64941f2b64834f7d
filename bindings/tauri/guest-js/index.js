// The webview's side of tauri-plugin-highwater: an ES module without dependencies, with or without a bundler.
// Members of requests and answers are those of docs/json.md, unchanged.

const PLUGIN = 'plugin:highwater|'

/** An error of the plugin: `code` never changes; `message` and `advice` are for people. */
export class HighwaterError extends Error {
  constructor({ code, message, advice, retryable = false, retry_after_ms }) {
    super(message)
    this.name = 'HighwaterError'
    this.code = code
    this.advice = advice
    this.retryable = retryable
    this.retry_after_ms = retry_after_ms
  }
}

/** Tauri's own refusals are texts: a permission that is missing, an argument of the wrong type. */
function failure(error) {
  if (error instanceof HighwaterError) return error
  if (error && typeof error === 'object' && typeof error.code === 'string') return new HighwaterError(error)
  const message = String(error?.message ?? error)
  if (/not allowed|not found/i.test(message)) {
    const advice = "add the command's permission to the window's capability: see docs/tauri.md"
    return new HighwaterError({ code: 'permission_denied', message, advice })
  }
  return new HighwaterError({ code: 'invalid', message, advice: 'correct the request' })
}

async function invoke(command, args = {}) {
  const tauri = globalThis.__TAURI_INTERNALS__
  if (!tauri) {
    const advice = 'open the page in a window of the application'
    throw new HighwaterError({ code: 'unsupported', message: 'there is no Tauri application around this page', advice })
  }
  try {
    return await tauri.invoke(PLUGIN + command, args)
  } catch (error) {
    throw failure(error)
  }
}

/** A Tauri channel: calls `handle` with each message, in the order in which they were sent. */
function channel(handle) {
  const tauri = globalThis.__TAURI_INTERNALS__
  const early = new Map()
  let next = 0
  const id = tauri.transformCallback((raw) => {
    early.set(raw.index, raw)
    while (early.has(next)) {
      const { end, message } = early.get(next)
      early.delete(next)
      next += 1
      if (end) tauri.unregisterCallback?.(id)
      else handle(message)
    }
  })
  return `__CHANNEL__:${id}`
}

/**
 * A subscription: `for await` its messages, or pass a handler. The next message is sent once the last one was handled, so that a
 * slow page is sent fewer and newer ones.
 */
class Subscription {
  #id
  #queue = []
  #wake = null
  #ended = false
  #error = null
  /** The cursor to resume from: that of the last page that was handled. */
  cursor

  static async begin(command, args, member, cursor) {
    if (!globalThis.__TAURI_INTERNALS__) await invoke(command)
    const subscription = new Subscription()
    subscription.cursor = cursor
    const receive = (message) => subscription.#receive(message, member)
    subscription.#id = await invoke(command, { ...args, channel: channel(receive) })
    return subscription
  }

  #receive(message, member) {
    if (message.failure) {
      this.#error = failure(message.failure)
      this.#ended = true
    } else {
      this.#queue.push(message[member])
    }
    this.#wake?.()
  }

  async *[Symbol.asyncIterator]() {
    try {
      for (;;) {
        while (this.#queue.length === 0) {
          if (this.#error) throw this.#error
          if (this.#ended) return
          await new Promise((resolve) => (this.#wake = resolve))
        }
        const message = this.#queue.shift()
        yield message
        if (message.next_cursor !== undefined) this.cursor = message.next_cursor
        if (!this.#ended) await invoke('acknowledge', { subscription: this.#id })
      }
    } finally {
      await this.end()
    }
  }

  /** Ends it. What was not handled is sent again to a subscription that begins at `cursor`. */
  async end() {
    if (this.#ended) return
    this.#ended = true
    this.#queue.length = 0
    this.#wake?.()
    await invoke('unsubscribe', { subscription: this.#id })
  }
}

async function handleAll(subscription, handle, onError) {
  try {
    for await (const message of subscription) await handle(message)
  } catch (error) {
    if (onError) onError(failure(error))
    else throw error
  }
}

function begun(subscription, handle, onError) {
  if (handle) void handleAll(subscription, handle, onError)
  return subscription
}

// Reading: permission highwater:default.

export const page = (request) => invoke('read_page', { request })
export const streams = () => invoke('list_streams')
export const templates = () => invoke('list_templates')
export const syncs = () => invoke('list_syncs')
export const integrations = () => invoke('list_integrations')
export const endpoints = (integration) => invoke('list_endpoints', { integration })
export const connections = (request = {}) => invoke('list_connections', { request })
export const runs = (request = {}) => invoke('list_runs', { request })
export const readRun = (run) => invoke('read_run', { run })
export const logLines = (request = {}) => invoke('list_log_lines', { request })

export async function subscribe(request, handle, onError) {
  return begun(await Subscription.begin('subscribe', { request }, 'page', request.since), handle, onError)
}

export async function watch(handle, onError) {
  return begun(await Subscription.begin('watch', {}, 'event'), handle, onError)
}

// Accounts: permission highwater:allow-connect.

export const connect = (account, credentials) => invoke('connect_account', { account, credentials })
export const signIn = (connection, credentials) => invoke('sign_in_account', { connection, credentials })
export const signInInBrowser = (connection, ports) => invoke('sign_in_in_browser', { connection, ports })
export const cancelSignIn = (connection) => invoke('cancel_sign_in', { connection })
export const disconnect = (connection, records = 'keep') => invoke('disconnect_account', { connection, records })

// What is synced and when: permission highwater:allow-trigger.

export const enable = (connection, sync, schedule) => invoke('enable_sync', { connection, sync, schedule })
export const disable = (connection, sync) => invoke('disable_sync', { connection, sync })
export const pause = (connection, sync) => invoke('pause_sync', { connection, sync })
export const resume = (connection, sync) => invoke('resume_sync', { connection, sync })
export const trigger = (connection, sync, mode = 'plain') => invoke('trigger_sync', { connection, sync, mode })
export const cancel = (connection, sync) => invoke('cancel_run', { connection, sync })
export const noteOnline = () => invoke('note_online')

// With an account's credentials: permission highwater:allow-proxy.

export const proxy = (connection, request) => invoke('send_request', { connection, request })
export const act = (connection, action, input) => invoke('run_action', { connection, action, input })

// All accounts, and what removes records: permission highwater:allow-admin.

export const enableEndpoint = (integration, sync, schedule) =>
  invoke('enable_endpoint', { integration, sync, schedule })
export const disableEndpoint = (integration, sync) => invoke('disable_endpoint', { integration, sync })
export const approve = (run) => invoke('approve_run', { run })
export const reject = (run) => invoke('reject_run', { run })
export const clear = (connection, sync) => invoke('clear_sync', { connection, sync })
