// The page that a host shows in a frame: it is told a session's token, and tells how the session ends.

const PERIOD = 1000;

const place = document.querySelector('[data-connect]');
const said = place.querySelector('[data-said]');
const go = place.querySelector('[data-go]');
const host = window.parent === window ? null : window.parent;
let origin = '*';
let token = null;

const tell = (message) => host?.postMessage(message, origin);
const say = (text) => { said.textContent = text; };

const ask = async (asked) => {
  if (asked !== token) return;
  try {
    const answer = await fetch(`${place.dataset.connect}/outcome`, { headers: { authorization: `Bearer ${asked}` } });
    const { data } = await answer.json();
    if (asked !== token) return;
    if (answer.status === 401) {
      token = null;
      go.hidden = true;
      say('This session has expired. Close this, and begin again.');
      tell({ type: 'error', payload: { errorType: 'missing_connect_session_token', errorMessage: 'the session has expired' } });
      return;
    }
    if (data?.state === 'connected') {
      token = null;
      go.hidden = true;
      say('Connected.');
      tell({ type: 'connect', payload: { providerConfigKey: data.provider_config_key, connectionId: data.connection_id } });
      return;
    }
  } catch {
    // The server is away: it is asked again.
  }
  setTimeout(() => ask(asked), PERIOD);
};

// Only pages that may frame this one get here: the server's policy says which.
window.addEventListener('message', (event) => {
  if (!host || event.source !== host || event.data?.type !== 'session_token' || typeof event.data.sessionToken !== 'string') return;
  origin = event.origin;
  token = event.data.sessionToken;
  go.href = `${place.dataset.connect}?session_token=${encodeURIComponent(token)}`;
  go.hidden = false;
  say('You sign in in a window of its own, and come back here.');
  ask(token);
});
place.querySelector('[data-close]').addEventListener('click', () => tell({ type: 'close' }));
tell({ type: 'ready' });
