// A user with the link of a connect session, without a browser: signs in as the session's page offers it, and agrees, refuses, or
// never answers. Prints the status and the text of the last page.
const [link, way, decision] = process.argv.slice(2);
const jars = new Map();

async function open(url, body) {
  for (let step = 0; step < 30; step += 1) {
    const { host, origin } = new URL(url);
    const jar = jars.get(host) ?? jars.set(host, new Map()).get(host);
    const response = await fetch(url, {
      method: body ? 'POST' : 'GET',
      body,
      redirect: 'manual',
      headers: { cookie: [...jar].map(([name, value]) => `${name}=${value}`).join('; '), ...(body ? { origin } : {}) },
    });
    for (const cookie of response.headers.getSetCookie()) {
      const [, name, value] = /^([^=]+)=([^;]*)/.exec(cookie);
      if (value) jar.set(name, value); else jar.delete(name);
    }
    const location = response.headers.get('location');
    if (!location) return { url, status: response.status, page: await response.text() };
    [url, body] = [new URL(location, url).href, undefined];
  }
  throw new Error('went in circles');
}

const plain = (text) => text.replaceAll('&amp;', '&');

// The form of a page of the server that does this.
function form({ url, page }, wanted) {
  const found = page.match(/<form[\s\S]*?<\/form>/g)?.find((text) => text.includes(`name="way" value="${wanted}"`));
  if (!found) throw new Error(`no form ${wanted}: ${page}`);
  const body = new URLSearchParams();
  for (const [input] of found.matchAll(/<input[^>]*>/g)) {
    body.set(/name="([^"]+)"/.exec(input)[1], plain(/value="([^"]*)"/.exec(input)?.[1] ?? ''));
  }
  return open(new URL(plain(/action="([^"]+)"/.exec(found)[1]), url).href, body);
}

// The provider's pages, until one of another host, or one without a form.
async function decide(url) {
  const { host } = new URL(url);
  let at = await open(url);
  for (let step = 0; step < 10 && new URL(at.url).host === host; step += 1) {
    const action = /<form[^>]*action="([^"]+)"/.exec(at.page);
    const abort = /href="([^"]*\/abort)"/.exec(at.page);
    if (decision === 'refuse' && abort) {
      at = await open(new URL(plain(abort[1]), at.url).href);
      continue;
    }
    if (!action) break;
    const body = new URLSearchParams();
    for (const [input] of at.page.matchAll(/<input[^>]*>/g)) {
      const name = /name="([^"]+)"/.exec(input)?.[1];
      if (name) body.set(name, /value="([^"]*)"/.exec(input)?.[1] ?? 'anna');
    }
    if (/name="abort"/.test(at.page) && decision === 'refuse') body.set('abort', 'yes');
    else if (/name="confirm"|user_code/.test(at.page)) body.set('confirm', 'yes');
    at = await open(new URL(plain(action[1]), at.url).href, body);
  }
  return at;
}

let last = await form(await open(link), way);
if (way === 'browser') {
  last = await decide(plain(/0;url=([^"]+)"/.exec(last.page)[1]));
} else {
  const address = plain(/href="(https?:[^"]+)"/.exec(last.page)[1]);
  if (decision !== 'never') await decide(address);
  last = await form(last, 'code_wait');
}
const text = last.page.replace(/<style.*?<\/style>/gs, ' ').replace(/<[^>]+>/g, ' ').replace(/\s+/g, ' ').trim();
console.log(`${last.status} ${text}`);
