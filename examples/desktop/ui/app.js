// A small application on tauri-plugin-highwater. Everything a record holds is set as text: it comes from outside.
import * as highwater from './index.js'

const DEMO = { id: 'demo', provider: 'crm', display_name: 'Demo CRM' }
/** How many rows the table shows, those that changed last first. */
const SHOWN = 200
const TITLES = ['name', 'title', 'subject']

const $ = (id) => document.getElementById(id)
const state = { view: 'records', account: null, syncs: [], templates: [], model: null, tables: new Map() }

function element(tag, properties = {}, ...children) {
  const made = Object.assign(document.createElement(tag), properties)
  made.append(...children)
  return made
}

function show(error) {
  $('notice').replaceChildren(
    element('strong', { textContent: error.message }),
    error.advice ? ` What to do: ${error.advice}.` : '',
  )
  $('notice').dataset.code = error.code ?? ''
  $('notice').hidden = false
}

/** Does what a user asked for; an error is shown, and nothing is left half done. */
async function attempt(button, work) {
  if (button) button.disabled = true
  $('notice').hidden = true
  try {
    await work()
  } catch (error) {
    show(error)
  } finally {
    if (button) button.disabled = false
  }
}

// Records: a table per model, filled by a subscription.

class Table {
  constructor(model) {
    this.model = model
    this.rows = new Map()
    this.fresh = new Set()
    this.caughtUp = false
  }

  async follow(connection) {
    this.subscription = await highwater.subscribe(
      { connection, model: this.model, limit: 500 },
      (page) => this.take(page),
      (error) => this.resume(connection, error),
    )
  }

  /** A log that was cleared or restored is read again from its start. */
  resume(connection, error) {
    if (!error.code.startsWith('cursor_')) return show(error)
    this.rows.clear()
    this.caughtUp = false
    void this.follow(connection).catch(show)
  }

  take(page) {
    const live = this.caughtUp
    for (const change of page.changes) {
      this.rows.delete(change.id)
      if (change.payload && change.net !== 'deleted' && change.net !== 'void') {
        this.rows.set(change.id, change)
        if (live) this.fresh.add(change.id)
      }
    }
    this.caughtUp = page.caught_up
    drawModels()
    if (state.model === this.model) drawRows()
  }
}

const words = (name) => name.replaceAll('_', ' ').replace(/^./, (letter) => letter.toUpperCase())
const number = new Intl.NumberFormat()
const time = new Intl.DateTimeFormat(undefined, { hour: '2-digit', minute: '2-digit', second: '2-digit' })

function drawModels() {
  const tabs = [...state.tables.values()].map((table) => {
    const selected = table.model === state.model
    const tab = element('button', { type: 'button' }, table.model, element('small', { textContent: number.format(table.rows.size) }))
    tab.setAttribute('role', 'tab')
    tab.setAttribute('aria-selected', selected)
    tab.dataset.model = table.model
    tab.onclick = () => {
      state.model = table.model
      drawModels()
      drawRows()
    }
    return tab
  })
  // A tab that has the keyboard keeps it.
  const focused = document.activeElement?.dataset?.model
  $('models').replaceChildren(...tabs)
  if (focused) $('models').querySelector(`[data-model="${CSS.escape(focused)}"]`)?.focus()
  const total = [...state.tables.values()].reduce((sum, table) => sum + table.rows.size, 0)
  $('records-lead').textContent = total ? `${number.format(total)} records on this computer` : ''
}

function drawRows() {
  const table = state.tables.get(state.model)
  const wanted = $('find').value.trim().toLowerCase()
  const all = table ? [...table.rows.values()].reverse() : []
  const found = wanted ? all.filter((change) => JSON.stringify(change.payload).toLowerCase().includes(wanted)) : all
  const rows = found.slice(0, SHOWN)
  const columns = [...new Set(rows.slice(0, 20).flatMap((change) => Object.keys(change.payload)))].filter((name) => name !== 'id')
  // What a person calls the record comes first.
  columns.sort((one, other) => TITLES.includes(other) - TITLES.includes(one))
  const numeric = new Set(columns.filter((name) => rows.every((change) => typeof change.payload[name] !== 'string')))
  const head = element('tr', {}, element('th', { scope: 'col', textContent: 'Id' }))
  for (const name of columns) {
    head.append(element('th', { scope: 'col', textContent: words(name), className: numeric.has(name) ? 'number' : '' }))
  }
  head.append(element('th', { scope: 'col', textContent: 'Changed' }))
  const body = rows.map((change) => {
    const row = element('tr', { className: table.fresh.has(change.id) ? 'new' : '' })
    row.dataset.id = change.id
    row.append(element('td', { className: 'id', textContent: change.id }))
    for (const name of columns) {
      const value = change.payload[name]
      const text = value === null || value === undefined ? '–' : typeof value === 'object' ? JSON.stringify(value) : typeof value === 'number' ? number.format(value) : String(value)
      row.append(element('td', { textContent: text, title: text.length > 36 ? text : '', className: numeric.has(name) ? 'number' : value == null ? 'quiet' : '' }))
    }
    row.append(element('td', { className: 'quiet', textContent: time.format(new Date(change.metadata.last_modified_at)) }))
    return row
  })
  $('records-frame').querySelector('thead').replaceChildren(head)
  $('rows').replaceChildren(...body)
  $('records-frame').hidden = rows.length === 0
  $('records-empty').hidden = rows.length > 0
  const on = state.syncs.some((sync) => sync.settings)
  $('records-empty').textContent = wanted && all.length
    ? `No record contains “${$('find').value.trim()}”.`
    : on
      ? 'The first records are on their way.'
      : 'Nothing is synced yet. Turn a sync on under Syncs.'
  const more = found.length > rows.length ? `The ${SHOWN} that changed last, of ${number.format(found.length)}. ` : ''
  $('records-foot').textContent = rows.length ? `${more}Changes appear at the top as they arrive.` : ''
}

// Syncs: a card each, with a switch.

const PHASES = {
  disabled: ['', 'Off'],
  paused: ['waits', 'Paused'],
  needs_setting: ['waits', 'Needs a setting'],
  waiting: ['well', 'Up to date'],
  queued: ['running', 'Waits for a slot'],
  running: ['running', 'Syncing'],
  offline: ['waits', 'Offline: goes on once the network is back'],
  needs_sign_in: ['failed', 'Needs a sign-in'],
  ended: ['', 'Schedule has ended'],
}

function phase(sync) {
  if (sync?.phase === 'waiting' && sync.status.last_error) return ['failed', 'Failed']
  if (sync?.phase === 'waiting' && !sync.has_synced) return ['running', 'Starts']
  return PHASES[sync?.phase ?? 'disabled'] ?? ['', words(sync.phase)]
}

function card(template) {
  const name = `${template.provider.name ?? template.provider}/${template.name}`
  const sync = state.syncs.find((known) => known.sync === name)
  const on = Boolean(sync?.settings)
  const input = element('input', { type: 'checkbox', checked: on, ariaLabel: `Sync ${name}` })
  input.setAttribute('role', 'switch')
  input.dataset.sync = name
  input.onchange = () => toggle(input, name)
  const [look, word] = phase(sync)
  const again = element('button', { type: 'button', textContent: 'Sync now', disabled: !on })
  again.onclick = () => attempt(again, () => highwater.trigger(state.account, name))
  const facts = element('p', { className: 'facts' }, element('span', { className: `state ${look}`, textContent: word }))
  for (const [model, count] of Object.entries(sync?.records ?? {})) {
    facts.append(element('span', { textContent: `${model}: ${number.format(count)}` }))
  }
  if (sync?.status.last_success_ms) {
    facts.append(element('span', { textContent: `Last synced at ${time.format(sync.status.last_success_ms)}` }))
  }
  const made = element('li', { className: 'card' },
    element('div', {}, element('h2', { textContent: template.description || name }), element('p', { className: 'about', textContent: name })),
    again,
    element('label', { className: 'switch' }, input, element('span')),
    facts,
  )
  if (sync?.status.last_error && !['disabled', 'offline'].includes(sync.phase)) {
    made.append(element('p', { className: 'problem', textContent: sync.status.last_error }))
  }
  return made
}

async function toggle(input, name) {
  await attempt(input, async () => {
    if (input.checked) await highwater.enable(state.account, name, { every_ms: 1000 })
    else await highwater.disable(state.account, name)
  })
  await refresh()
}

function drawSyncs() {
  const provider = state.provider
  const own = state.templates.filter((template) => (template.provider.name ?? template.provider) === provider)
  const focused = document.activeElement?.dataset?.sync
  $('cards').replaceChildren(...own.map(card))
  if (focused) $('cards').querySelector(`[data-sync="${CSS.escape(focused)}"]`)?.focus()
  const on = state.syncs.filter((sync) => sync.settings)
  const failed = on.filter((sync) => phase(sync)[0] === 'failed').length
  $('syncs-lead').textContent = failed
    ? `${failed} of ${on.length} need you`
    : on.length
      ? 'Nothing needs you'
      : 'Choose what is kept on this computer'
}

// Log: the last runs.

const STATES = {
  queued: ['running', 'Waits for a slot'],
  running: ['running', 'Running'],
  success: ['well', 'Success'],
  error: ['failed', 'Failed'],
  cancelled: ['waits', 'Stopped'],
  timed_out: ['failed', 'Took too long'],
  awaiting_approval: ['waits', 'Deletes wait for approval'],
}

async function drawLog() {
  const { runs } = await highwater.runs({ limit: 50 })
  const rows = runs.flatMap((run) => {
    const [look, word] = STATES[run.state] ?? ['', words(run.state)]
    const took = run.ended_ms ? `${((run.ended_ms - run.started_ms) / 1000).toFixed(1)} s` : '–'
    const row = element('tr', {},
      element('td', {}, element('span', { className: `state ${look}`, textContent: word })),
      element('td', { textContent: run.template }),
      element('td', { className: 'quiet', textContent: time.format(run.started_ms) }),
      ...['added', 'updated', 'deleted'].map((name) => element('td', { className: 'number', textContent: number.format(run.progress[name] ?? 0) })),
      element('td', { className: 'number quiet', textContent: took }),
    )
    row.dataset.state = run.state
    if (!run.error) return [row]
    const reason = element('tr', {}, element('td', { className: 'reason', colSpan: 7, textContent: run.error }))
    return [row, reason]
  })
  $('runs').replaceChildren(...rows)
  $('log').querySelector('.frame').hidden = rows.length === 0
  $('log-empty').hidden = rows.length > 0
  $('log-lead').textContent = rows.length ? `The last ${runs.length} runs` : ''
}

// The whole.

function draw() {
  const connected = state.account !== null
  for (const button of document.querySelectorAll('nav [data-view]')) {
    button.disabled = !connected
    if (connected && button.dataset.view === state.view) button.setAttribute('aria-current', 'page')
    else button.removeAttribute('aria-current')
  }
  $('welcome').hidden = connected
  for (const view of ['records', 'syncs', 'log']) $(view).hidden = !connected || view !== state.view
  document.body.dataset.ready = 'yes'
}

async function refresh() {
  const [{ connections }, syncs] = await Promise.all([highwater.connections(), highwater.syncs()])
  const account = connections[0]
  const before = state.account
  state.account = account?.settings.id ?? null
  state.provider = account?.settings.provider
  state.syncs = syncs.filter((sync) => sync.connection === state.account)
  const name = account?.settings.display_name ?? state.account
  $('account').replaceChildren(...(account ? [element('strong', { textContent: name }), words(account.health.state === 'ok' ? 'connected' : account.health.state)] : []))
  if (before !== state.account) await follow()
  draw()
  drawSyncs()
  if (state.view === 'log' && state.account) await drawLog()
  if (state.view === 'records') drawRows()
}

/** Follows every model of the account. */
async function follow() {
  for (const table of state.tables.values()) await table.subscription?.end()
  state.tables.clear()
  const own = state.templates.filter((template) => (template.provider.name ?? template.provider) === state.provider)
  for (const { name } of own.flatMap((template) => template.models)) {
    if (state.account && !state.tables.has(name)) state.tables.set(name, new Table(name))
  }
  state.model = [...state.tables.keys()][0] ?? null
  await Promise.all([...state.tables.values()].map((table) => table.follow(state.account)))
  drawModels()
}

/** At most one refresh at a time, and one more for what happened meanwhile. */
let refreshing = null
let again = false
function refreshSoon() {
  if (refreshing) {
    again = true
    return
  }
  refreshing = refresh().catch(show).finally(() => {
    refreshing = null
    if (again) {
      again = false
      refreshSoon()
    }
  })
}

for (const button of document.querySelectorAll('nav [data-view]')) {
  button.onclick = () => {
    state.view = button.dataset.view
    draw()
    refreshSoon()
  }
}
$('find').oninput = drawRows
$('connect-demo').onclick = () =>
  attempt($('connect-demo'), async () => {
    await highwater.connect(DEMO)
    state.view = 'syncs'
    await refresh()
  })
$('disconnect').onclick = () => $('confirm').showModal()
$('confirm').onclose = () => {
  if ($('confirm').returnValue !== 'yes') return
  void attempt($('disconnect'), async () => {
    await highwater.disconnect(state.account, 'clear')
    await refresh()
  })
}
addEventListener('online', () => void highwater.noteOnline().catch(show))

try {
  state.templates = await highwater.templates()
  await refresh()
  await highwater.watch((event) => {
    if (event.about !== 'run' || event.state !== 'running') refreshSoon()
  }, show)
} catch (error) {
  show(error)
  for (const button of document.querySelectorAll('nav [data-view]')) button.disabled = true
  document.body.dataset.ready = 'failed'
}
