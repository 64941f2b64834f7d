// What pages cannot do without a script: copy buttons, and news while a page is open. Everything else works without it.

const PERIOD = 3000;

const addCopyButtons = () => {
  for (const place of document.querySelectorAll('[data-copy]')) {
    const button = document.createElement('button');
    button.type = 'button';
    button.className = 'small copy';
    button.textContent = 'Copy';
    button.addEventListener('click', async () => {
      await navigator.clipboard.writeText(place.textContent);
      button.textContent = 'Copied';
    });
    place.after(button);
  }
};
addCopyButtons();

const main = document.querySelector('main[data-live]');
const news = document.querySelector('.news');

// Times pass in any case, and each page has a token of its own session: neither is news.
const gist = (root) => {
  const copy = root.cloneNode(true);
  for (const part of copy.querySelectorAll('.notice, .copy')) part.remove();
  for (const time of copy.querySelectorAll('time')) time.textContent = '';
  return copy.textContent;
};

if (main && news) {
  let waiting = null;
  const show = () => {
    main.replaceChildren(...waiting.childNodes);
    addCopyButtons();
    waiting = null;
    news.hidden = true;
  };
  // Nothing moves under the pointer, the keyboard, or an open part of the page.
  const busy = () => main.matches(':hover') || main.contains(document.activeElement)
    || main.querySelector('details[open]') || getSelection().toString() || scrollY > 0;
  news.querySelector('button').addEventListener('click', show);
  const look = async () => {
    if (document.hidden) return;
    try {
      const answer = await fetch(location.href, { headers: { accept: 'text/html' }, redirect: 'error' });
      if (!answer.ok) return;
      const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
      const found = page.querySelector('main[data-live]');
      if (!found) return;
      const changed = gist(found) !== gist(main);
      if (changed && busy()) {
        waiting = found;
        news.hidden = false;
      } else if (changed) {
        waiting = found;
        show();
      }
    } catch {
      // The server is away, or the session has ended: the page stays as it is.
    }
  };
  const tick = async () => {
    await look();
    setTimeout(tick, PERIOD);
  };
  setTimeout(tick, PERIOD);
}
