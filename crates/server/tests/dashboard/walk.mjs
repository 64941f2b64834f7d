// A person in a real browser: signs in by the link, turns an endpoint on, looks at records, and decides about held deletes.
// Takes a picture of each page at two sizes, light and dark. Prints one line for each thing that is not as it should be.
import { chromium } from 'playwright-core';

const [executablePath, origin, link, run, pictures] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  timeout: 60_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const faults = [];
const check = (holds, what) => { if (!holds) faults.push(what); };
const context = await browser.newContext({ viewport: { width: 1280, height: 800 } });
const page = await context.newPage();
page.setDefaultTimeout(60_000);
page.on('request', (request) => check(request.url().startsWith(`${origin}/`), `a request left: ${request.url()}`));
page.on('console', (message) => check(!['error', 'warning'].includes(message.type()), `console: ${message.text()}`));
page.on('pageerror', (error) => check(false, `script: ${error.message}`));

await page.goto(`${origin}${link}`);
await page.screenshot({ path: `${pictures}/sign-in.png` });
await page.getByRole('button', { name: 'Sign in' }).click();
await page.waitForURL(`${origin}/dashboard`);
check(await page.getByText('need you').or(page.getByText('needs you')).first().isVisible(), 'the home page says whether anything needs somebody');

await page.getByRole('link', { name: 'Integrations', exact: true }).click();
await page.getByRole('link', { name: 'Shop (Europe)' }).click();
const toggle = () => page.getByRole('switch', { name: 'shop/orders for all connections' });
check(await toggle().getAttribute('aria-checked') === 'false', 'the endpoint is off at first');
await toggle().click();
await page.waitForLoadState();
check(await toggle().getAttribute('aria-checked') === 'true', 'the endpoint is on after the click');
await page.reload();
check(await toggle().getAttribute('aria-checked') === 'true', 'the toggle survives a reload');

await page.getByRole('link', { name: 'Records', exact: true }).click();
await page.getByRole('link', { name: 'Note' }).first().click();
check(await page.getByRole('cell', { name: 'Note 3', exact: true }).isVisible(), 'records are shown');
await page.getByPlaceholder('Exact id').fill('7');
await page.getByRole('button', { name: 'Show' }).click();
await page.getByRole('link', { name: '7', exact: true }).click();
check((await page.locator('pre').first().innerText()).includes('"Note 7"'), 'a record is shown');

// By the keyboard alone: the first stop leads to the content.
await page.keyboard.press('Tab');
check(await page.evaluate(() => document.activeElement.className === 'skip'), 'the first stop of the keyboard skips the menu');

const pages = {
  home: '/dashboard', integrations: '/dashboard/integrations', integration: '/dashboard/integrations/shop-main',
  connections: '/dashboard/connections', connection: '/dashboard/connections/ann', connect: '/dashboard/connect?provider=shop',
  delete: '/dashboard/connections/ann/delete', models: '/dashboard/records', records: '/dashboard/records?connection=ann&model=Note',
  record: '/dashboard/record?connection=ann&model=Note&id=3', runs: '/dashboard/runs', run, webhooks: '/dashboard/webhooks',
  webhook: '/dashboard/webhooks/backend', settings: '/dashboard/settings', error: '/dashboard/runs/x',
};
for (const colorScheme of ['light', 'dark']) {
  for (const [name, size] of [['wide', { width: 1280, height: 800 }], ['narrow', { width: 390, height: 844 }]]) {
    await page.emulateMedia({ colorScheme });
    await page.setViewportSize(size);
    for (const [what, path] of Object.entries(pages)) {
      if (what === 'error') page.removeAllListeners('console');
      await page.goto(`${origin}${path}`);
      const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
      check(overflow <= 0, `${what} is ${overflow} px too wide (${name})`);
      const nameless = await page.evaluate(() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
        .filter((part) => !(part.textContent.trim() || part.labels?.length || part.getAttribute('aria-label'))).map((part) => part.outerHTML));
      check(nameless.length === 0, `${what} has parts without a name: ${nameless[0]}`);
      await page.screenshot({ path: `${pictures}/${what}-${name}-${colorScheme}.png`, fullPage: true });
    }
  }
}

// Without scripts everything still works.
const plain = await browser.newContext({ javaScriptEnabled: false, storageState: await context.storageState() });
const decide = await plain.newPage();
await decide.goto(`${origin}${run}`);
await decide.getByRole('button', { name: 'Reject' }).click();
check(await decide.getByText('Rejected: the records stay').isVisible(), 'held deletes are rejected without scripts');

// News arrives by itself: nobody points at the page.
await page.setViewportSize({ width: 1280, height: 800 });
await page.goto(`${origin}/dashboard`);
check(!(await page.locator('main').innerText()).includes('Approve or reject'), 'nothing is held any more');

for (const fault of faults) console.log(fault);
console.log('done');
await browser.close();
