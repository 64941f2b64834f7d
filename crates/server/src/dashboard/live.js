// What pages cannot do without a script: copy buttons, and news while a page is open. Everything else works without it.

const PERIOD = 15000;

const addCopyButtons = (root) => {
  for (const place of root.querySelectorAll('[data-copy]')) {
    if (place.nextElementSibling?.matches('.copy')) continue;
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'small copy';
    button.textContent = 'Copy';
    button.setAttribute('aria-label', `Copy ${place.dataset.copy || 'this text'}`);
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(place.title || place.textContent);
      button.textContent = 'Copied';
    });
    place.after(button);
  }
};
addCopyButtons(document);

// On a narrow screen the menu is a strip: what is chosen is in sight.
const chosen = document.querySelector('header nav [aria-current]');
if (chosen) {
  const strip = chosen.parentElement;
  strip.scrollLeft = chosen.offsetLeft - strip.offsetLeft - (strip.clientWidth - chosen.offsetWidth) / 2;
}

const main = document.querySelector('main[data-live]');
const news = document.querySelector('.news');

// Times pass in any case: they are no news. Live parts are compared by themselves.
const gist = (root, nested) => {
  const copy = root.cloneNode(true);
  for (const part of copy.querySelectorAll(`.notice, .copy${nested ? '' : ', [data-part]'}`)) part.remove();
  for (const time of copy.querySelectorAll('time')) time.textContent = '';
  return copy.textContent;
};
const inUse = (part) => part.matches(':hover') || part.contains(document.activeElement)
  || (getSelection().toString() && part.contains(getSelection().anchorNode));

if (main && news) {
  let waiting = null;
  const show = () => {
    main.replaceChildren(...waiting.childNodes);
    addCopyButtons(main);
    waiting = null;
    news.hidden = true;
  };
  // Nothing moves under the pointer, the keyboard, or an open part of the page.
  const busy = () => inUse(main) || main.querySelector('details[open]') || scrollY > 0;
  news.querySelector('button').addEventListener('click', show);
  // Parts that are live keep their size, and are replaced at once.
  const refresh = (found) => {
    for (const part of found.querySelectorAll('[data-part]')) {
      const old = main.querySelector(`[data-part="${part.dataset.part}"]`);
      if (!old || inUse(old)) continue;
      if (gist(old, true) !== gist(part, true)) {
        old.replaceWith(part);
        addCopyButtons(part);
      }
    }
    // What is left of each time moves on, wherever nothing else has changed.
    const times = [...main.querySelectorAll('time')];
    const later = [...found.querySelectorAll('time')];
    if (times.length === later.length) {
      times.forEach((time, place) => {
        if (time.dateTime === later[place].dateTime) time.textContent = later[place].textContent;
      });
    }
  };
  let looking = false;
  const look = async () => {
    if (document.hidden || looking) return;
    looking = true;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const found = page.querySelector('main[data-live]');
      if (!found) return;
      const changed = gist(found) !== gist(main);
      if (changed && !busy()) {
        waiting = found;
        show();
        return;
      }
      if (changed) waiting = found.cloneNode(true);
      news.hidden = !waiting;
      refresh(found);
    } catch {
      // The server is away, or the session has ended: the page stays as it is.
    } finally {
      looking = false;
    }
  };
  // The server says when something happens in its process; other processes write to the same store.
  let events = null;
  const listen = () => {
    if (document.hidden) {
      events?.close();
      events = null;
    } else if (!events) {
      events = new EventSource(main.dataset.events);
      events.addEventListener('message', look);
      look();
    }
  };
  document.addEventListener('visibilitychange', listen);
  listen();
  setInterval(look, PERIOD);
}
