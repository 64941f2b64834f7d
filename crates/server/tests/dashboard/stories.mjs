// What people do with the dashboard, one story each. Every wait is for a condition.
import { everyPage } from './pages.mjs';

const toggleOf = (page, name) => page.getByRole('switch', { name: `${name} for all connections` });
const is = (page, name, state) => page.locator(`[role=switch][aria-label="${name} for all connections"][aria-checked=${state}]`).waitFor();

export const stories = {
  async firstSync({ enter, check, origin }) {
    const page = await enter();
    let clicks = 1;
    const click = async (place) => { clicks += 1; await place.click(); };
    await click(page.getByRole('link', { name: 'set up an integration' }));
    await page.getByLabel('Key').fill('shop-main');
    await click(page.getByRole('button', { name: 'Add' }));
    await click(toggleOf(page, 'shop/notes'));
    await is(page, 'shop/notes', true);
    await click(page.getByRole('link', { name: 'Connect an account' }));
    await page.getByLabel('Id').fill('ann');
    await click(page.getByRole('button', { name: 'Connect' }));
    await page.waitForURL(`${origin}/dashboard/connections/ann`);
    // The page shows by itself that the first run has brought records.
    await click(page.getByRole('link', { name: '30 Note' }));
    await page.getByRole('cell', { name: 'Note 3', exact: true }).waitFor();
    check(clicks <= 8, `the first records took ${clicks} clicks`);
  },

  async toggle({ enter, origin }) {
    const page = await enter();
    await page.goto(`${origin}/dashboard/integrations/shop-main`);
    for (const state of [true, false]) {
      await toggleOf(page, 'shop/orders').click();
      await is(page, 'shop/orders', state);
      await page.reload();
      await is(page, 'shop/orders', state);
    }
  },

  async change({ enter, check, origin }) {
    const page = await enter();
    await page.goto(`${origin}/dashboard/records?connection=ann&model=Note&id=3`);
    let left = 0;
    page.on('framenavigated', () => { left += 1; });
    const version = () => page.locator('main').innerText().then((text) => Number(/Version (\d+)/.exec(text)?.[1] ?? 0));
    const first = await version();
    await page.waitForFunction((first) => Number(/Version (\d+)/.exec(document.querySelector('main').innerText)?.[1] ?? 0) > first, first);
    check(left === 0, 'the page was loaded again');
    // Under the pointer nothing moves: the news is announced, and shown on request.
    await page.locator('tbody tr').first().hover();
    await page.getByRole('button', { name: 'There is something new' }).waitFor();
    const shown = await version();
    await page.getByRole('button', { name: 'There is something new' }).click();
    check(await version() > shown, 'the news is shown by its button');
  },

  async held({ open, enter, check, origin, run, second }) {
    const state = await (await enter()).context().storageState();
    for (const [javaScriptEnabled, where, decision, said] of [[true, run, 'Reject', 'Rejected: the records stay'], [false, second, 'Approve', 'Approved: 29 records deleted']]) {
      const page = await open({ javaScriptEnabled, storageState: state });
      await page.goto(`${origin}/dashboard`);
      await page.locator('.needs').getByRole('link', { name: 'Approve or reject' }).first().waitFor();
      await page.goto(`${origin}${where}`);
      check(await page.locator('.ids li').count() === 29, 'each record that would go is listed');
      await page.getByRole('button', { name: decision }).click();
      await page.getByText(said).waitFor();
      await page.context().close();
    }
  },

  async wrongKey({ open, check, origin, key }) {
    const page = await open({}, ['401']);
    await page.goto(`${origin}/dashboard/records`);
    await page.waitForURL(/sign-in/);
    for (const wrong of ['hwk_nothing-like-a-key', `${key.slice(0, -1)}${key.endsWith('0') ? '1' : '0'}`]) {
      await page.getByLabel('Key').fill(wrong);
      await page.getByRole('button', { name: 'Sign in' }).click();
      await page.getByRole('alert').waitFor();
      check((await page.context().cookies()).length === 0, 'a wrong key gets a cookie');
      check(!(await page.content()).includes(wrong), 'the wrong key stands in the page');
    }
    await page.getByLabel('Key').fill(key);
    await page.getByRole('button', { name: 'Sign in' }).click();
    await page.getByRole('navigation', { name: 'Pages' }).waitFor();
  },

  // Names, records, log lines and errors that are scripts.
  async hostile({ enter, check, origin, pages }) {
    const page = await enter();
    for (const path of pages) {
      await page.goto(`${origin}${path}`);
      check(await page.evaluate(() => !window.evil && document.querySelectorAll('script').length === 1
        && !document.querySelector('main img, main iframe, main style, main [onerror]')), `${path} runs or holds what others wrote`);
      check((await page.locator('main').innerText()).includes('<script>'), `${path} does not show it as text`);
    }
  },

  async keyboard({ enter, check, origin }) {
    const page = await enter();
    const press = (key) => page.keyboard.press(key);
    const at = () => page.evaluate(() => (document.activeElement.getAttribute('aria-label') || document.activeElement.textContent).trim());
    const reach = async (name) => {
      for (let step = 0; step < 80; step += 1) {
        await press('Tab');
        if ((await at()).startsWith(name)) {
          const seen = await page.evaluate(() => getComputedStyle(document.activeElement).outlineStyle !== 'none');
          check(seen, `${name} does not show that it is chosen`);
          return;
        }
      }
      throw new Error(`the keyboard does not reach ${name}`);
    };
    await page.goto(`${origin}/dashboard`);
    await press('Tab');
    check(await at() === 'Skip to the content', 'the first stop skips the menu');
    await press('Enter');
    check(page.url().endsWith('#main'), 'the skip leads to the content');
    await page.goto(`${origin}/dashboard`);
    await reach('Integrations');
    await press('Enter');
    await page.waitForURL(`${origin}/dashboard/integrations`);
    await reach('Shop (Europe)');
    await press('Enter');
    await page.waitForURL(`${origin}/dashboard/integrations/shop-main`);
    await reach('shop/orders for all connections');
    await press('Space');
    await is(page, 'shop/orders', true);
    await page.goto(`${origin}/dashboard/records?connection=ann&model=Note`);
    await reach('Columns');
    await press('Enter');
    await page.getByRole('checkbox', { name: 'amount' }).waitFor();
    await reach('7');
    await press('Enter');
    await page.waitForURL(/dashboard\/record\?/);
    await reach('Sign out');
    await press('Enter');
    await page.waitForURL(/sign-in/);
  },

  // A host's own page, with the peer's browser client as it is.
  async connectUi({ open, check, host, token, second }) {
    const page = await open();
    await page.goto(`${host}/?token=${token}`);
    const frame = page.frameLocator('#connect-ui');
    const opened = page.waitForEvent('popup');
    await frame.getByRole('link', { name: 'Continue in a new window' }).click();
    const popup = await opened;
    await popup.getByLabel('Key').fill('the-users-own-key');
    await popup.getByRole('button', { name: 'Connect' }).click();
    await popup.getByRole('heading', { name: 'Connected' }).waitFor();
    await frame.getByText('Connected.').waitFor();
    await page.waitForFunction(() => window.events.some((event) => event.type === 'connect'));
    const connected = await page.evaluate(() => window.events.find((event) => event.type === 'connect').payload);
    check(connected.providerConfigKey === 'crm' && connected.connectionId, `the page is told ${JSON.stringify(connected)}`);
    await frame.getByRole('button', { name: 'Close' }).click();
    await page.locator('#connect-ui').waitFor({ state: 'detached' });
    check(await page.evaluate(() => window.events.at(-1).type) === 'close', 'the page is told of the end');
    const headless = await page.evaluate((token) => window.signIn(token), second);
    check(headless.providerConfigKey === 'crm' && headless.connectionId, `auth answers ${JSON.stringify(headless)}`);
  },

  everyPage,
};
