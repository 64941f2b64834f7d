/** An opaque position in a stream. Pass it as it was given. */
export type Cursor = string

/** The kinds of docs/json.md. A later version may add some. */
export type ErrorCode =
  | 'invalid' | 'not_found' | 'cursor_malformed' | 'cursor_foreign' | 'cursor_expired' | 'cursor_forked' | 'cursor_future'
  | 'filter_mismatch' | 'fenced' | 'conflict' | 'lease_lost' | 'backing_off' | 'awaiting_approval' | 'busy' | 'locked'
  | 'closed' | 'poisoned' | 'corrupt' | 'wrong_key' | 'incompatible' | 'full' | 'io' | 'permission_denied' | 'unsupported'
  | 'clock_implausible' | 'unauthorized' | 'rate_limited' | 'remote' | 'unavailable' | 'source_reset' | 'cancelled'
  | 'timed_out' | 'internal' | (string & {})

/** An error of the plugin: `code` never changes; `message` and `advice` are for people. */
export class HighwaterError extends Error {
  readonly code: ErrorCode
  readonly advice: string
  readonly retryable: boolean
  readonly retry_after_ms?: number
}

export type Action = 'added' | 'updated' | 'deleted'

export interface PageRequest {
  connection: string
  model: string
  /** Defaults to `base`. */
  variant?: string
  /** Defaults to the start of the log. */
  since?: Cursor
  /** Defaults to 100; 1,000 at most. */
  limit?: number
  /** RFC 3339. */
  modified_after?: string
  ids?: string[]
  actions?: Action[]
  metadata_only?: boolean
}

export interface Change<T = unknown> {
  net: 'added' | 'updated' | 'deleted' | 'left' | 'void' | (string & {})
  id: string
  /** The record as it was saved; null once pruned, and where only metadata was asked for. */
  payload: T | null
  metadata: {
    cursor: Cursor
    first_seen_at: string
    last_modified_at: string
    last_action: Action
    deleted_at: string | null
    pruned_at: string | null
  }
}

export interface Page<T = unknown> {
  changes: Change<T>[]
  /** Where to continue. Store it with the records. */
  next_cursor: Cursor
  has_more: boolean
  caught_up: boolean
  high_water: Cursor
}

export interface StreamHead {
  stream: { connection: string; model: string; variant: string }
  high_water: Cursor
  live: number
  deleted: number
  bytes: number
  [member: string]: unknown
}

export interface Template {
  provider: { name: string; [member: string]: unknown } | string
  name: string
  description: string
  [member: string]: unknown
}

export type Schedule = { every_ms: number } | { cron: string }

export interface SyncState {
  connection: string
  sync: string
  phase:
    | 'disabled' | 'paused' | 'needs_setting' | 'waiting' | 'queued' | 'running' | 'offline' | 'needs_sign_in' | 'ended'
    | (string & {})
  has_synced: boolean
  status: { last_success_ms?: number | null; next_due_ms?: number | null; last_error?: string | null; [member: string]: unknown }
  settings: { schedule: Schedule; [member: string]: unknown } | null
  missing_settings?: string[]
  run: Run | null
  records: Record<string, number>
  [member: string]: unknown
}

export interface Run {
  id: string
  connection: string
  template: string
  mode: 'initial' | 'incremental' | 'webhook' | 'action' | 'proxy' | (string & {})
  state:
    | 'queued' | 'running' | 'success' | 'error' | 'cancelled' | 'timed_out' | 'awaiting_approval' | (string & {})
  started_ms: number
  ended_ms: number | null
  progress: { pages: number; fetched: number; added: number; updated: number; unchanged: number; deleted: number; [member: string]: unknown }
  error?: string | null
  error_kind?: ErrorCode | null
  [member: string]: unknown
}

export interface LogLine {
  at_ms: number
  level: 'debug' | 'info' | 'warning' | 'error' | (string & {})
  message: string
}

export interface LogRequest {
  states?: Run['state'][]
  mode?: Run['mode']
  provider?: string
  connection?: string
  sync?: string
  /** RFC 3339. */
  since?: string
  until?: string
  level?: LogLine['level']
  text?: string
  /** The last page's `next`. */
  after?: string
  limit?: number
}

export interface Connection {
  settings: { id: string; provider: string; integration?: string; display_name?: string; config: Record<string, string>; [member: string]: unknown }
  created_ms: number
  last_fetched_ms: number | null
  health: { state: 'ok' | 'expiring' | 'needs_sign_in' | 'revoked' | (string & {}); reason?: string; since_ms?: number; at_ms?: number }
  account?: { id?: string; name?: string }
  last_error?: { kind: ErrorCode; message: string; sync: string }
  [member: string]: unknown
}

export interface ConnectionRequest {
  id?: string
  integration?: string
  provider?: string
  text?: string
  after?: string
  limit?: number
}

export interface Integration {
  key: string
  provider: string
  display_name?: string
  [member: string]: unknown
}

export interface Endpoint {
  sync: string
  /** Null while it is off. */
  options: Record<string, unknown> | null
  connections: number
  waiting: number
  own_decisions: number
  [member: string]: unknown
}

/** What happened: members of `SyncEvent`, `RunEvent`, `ConnectionEvent` or `IntegrationEvent` in docs/json.md. */
export type Event =
  | { about: 'sync'; connection: string; sync: string; change: string; run?: string; state?: Run['state'] }
  | { about: 'run'; run: string | null; connection: string; template: string; state: Run['state']; progress: Run['progress']; message?: string }
  | { about: 'connection'; connection: string; change: string; health?: Connection['health'] }
  | { about: 'integration'; integration: string; change: string; sync?: string }
  /** The page was slower than the engine: read the states again. */
  | { about: 'missed'; events: number }

/**
 * Messages in order. The next one is sent once the last one was handled. Ends with the window, and when the page is reloaded.
 */
export interface Subscription<M> extends AsyncIterable<M> {
  /** The cursor to resume from: that of the last page that was handled. */
  readonly cursor: Cursor | undefined
  end(): Promise<void>
}

/** One of `provider` and `integration`. */
export interface Account {
  id: string
  provider?: string
  integration?: string
  /** Leads to no private address. */
  base_url?: string
  config?: Record<string, string>
  display_name?: string
  tags?: Record<string, string>
  metadata?: Record<string, unknown>
}

export type Credentials = { token: string } | { username: string; password: string }

// Reading: permission highwater:default.
export function page<T = unknown>(request: PageRequest): Promise<Page<T>>
export function streams(): Promise<StreamHead[]>
export function templates(): Promise<Template[]>
export function syncs(): Promise<SyncState[]>
export function integrations(): Promise<Integration[]>
export function endpoints(integration: string): Promise<Endpoint[]>
export function connections(request?: ConnectionRequest): Promise<{ connections: Connection[]; next: string | null }>
export function runs(request?: LogRequest): Promise<{ runs: Run[]; next: string | null }>
export function readRun(run: string): Promise<Run & { lines: LogLine[] }>
export function logLines(
  request?: LogRequest,
): Promise<{ lines: (LogLine & { run: string; connection: string; sync: string })[]; next: string | null }>
/** The first page comes even if it is empty. */
export function subscribe<T = unknown>(
  request: PageRequest,
  handle?: (page: Page<T>) => void | Promise<void>,
  onError?: (error: HighwaterError) => void,
): Promise<Subscription<Page<T>>>
export function watch(
  handle?: (event: Event) => void | Promise<void>,
  onError?: (error: HighwaterError) => void,
): Promise<Subscription<Event>>

// Accounts: permission highwater:allow-connect.
/** With credentials: both, or nothing. */
export function connect(account: Account, credentials?: Credentials): Promise<null>
export function signIn(connection: string, credentials: Credentials): Promise<null>
/** Opens the system's browser and waits for the user. */
export function signInInBrowser(connection: string, ports?: number[]): Promise<null>
export function cancelSignIn(connection: string): Promise<boolean>
export function disconnect(connection: string, records?: 'keep' | 'clear'): Promise<{ revoked: boolean }>

// What is synced and when: permission highwater:allow-trigger.
export function enable(connection: string, sync: string, schedule?: Schedule): Promise<Record<string, unknown>>
export function disable(connection: string, sync: string): Promise<null>
export function pause(connection: string, sync: string): Promise<null>
export function resume(connection: string, sync: string): Promise<null>
/** `reset` reads everything again. */
export function trigger(connection: string, sync: string, mode?: 'plain' | 'reset'): Promise<null>
export function cancel(connection: string, sync: string): Promise<boolean>
export function noteOnline(): Promise<null>

// With an account's credentials: permission highwater:allow-proxy.
export function proxy(
  connection: string,
  request: { method: string; url: string; query?: Record<string, string>; headers?: Record<string, string>; body?: unknown },
): Promise<{ status: number; headers: Record<string, string>; body: string }>
export function act<T = unknown>(connection: string, action: string, input: unknown): Promise<T>

// All accounts, and what removes records: permission highwater:allow-admin.
export function enableEndpoint(integration: string, sync: string, schedule?: Schedule): Promise<null>
export function disableEndpoint(integration: string, sync: string): Promise<null>
export function approve(run: string): Promise<Run>
export function reject(run: string): Promise<Run>
/** Removes a sync's records and reads everything again. */
export function clear(connection: string, sync: string): Promise<null>
