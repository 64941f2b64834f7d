// Runs one story in Chromium. Prints one line for each thing that is not as it should be, then "done".
// In every story: no request leaves the server, and no script fails.
import { chromium } from 'playwright-core';
import { stories } from './stories.mjs';

const [story, executablePath, origin, link, folder, rest] = process.argv.slice(2);
const about = JSON.parse(rest);
const own = [origin, ...(about.others ?? [])];
const browser = await chromium.launch({
  executablePath,
  timeout: 120_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const faults = [];
const check = (holds, what) => { if (!holds) faults.push(what); };

// Opens a page of somebody new. `expected`: errors of the console that belong to the story.
const open = async (options = {}, expected = []) => {
  const context = await browser.newContext({ viewport: { width: 1280, height: 800 }, ...options });
  context.setDefaultTimeout(120_000);
  context.on('page', (page) => {
    page.on('request', (request) => check(own.some((known) => request.url().startsWith(`${known}/`)), `a request left: ${request.url()}`));
    page.on('console', (message) => check(!['error', 'warning'].includes(message.type())
      || expected.some((known) => message.text().includes(known)), `console: ${message.text()}`));
    page.on('pageerror', (error) => check(false, `script: ${error.message}`));
    page.on('dialog', (dialog) => { check(false, `a dialog: ${dialog.message()}`); return dialog.dismiss(); });
  });
  return context.newPage();
};
// The same, signed in.
const enter = async (options, expected) => {
  const page = await open(options, expected);
  await page.goto(`${origin}${link}`);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.waitForURL(`${origin}/dashboard`);
  return page;
};

try {
  await stories[story]({ open, enter, check, origin, link, folder, ...about });
} catch (error) {
  faults.push(`the story ended early: ${error.message}`);
}
for (const fault of faults) console.log(fault);
console.log('done');
await browser.close();
