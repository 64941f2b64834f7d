// A user in a real browser: signs in and agrees, refuses, or closes the window. Prints what the last page says.
import { chromium } from 'playwright-core';

const [executablePath, url, what] = process.argv.slice(2);
const browser = await chromium.launch({
  executablePath,
  timeout: 60_000,
  args: ['--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--disable-quic', '--no-first-run', '--disable-background-networking',
    '--disable-component-update', '--disable-sync'],
});
const page = await browser.newPage();
page.setDefaultTimeout(60_000);
await page.goto(url);
if (what !== 'close') {
  if (what === 'refuse') {
    await page.getByText('[ Cancel ]').click();
  } else {
    await page.locator('input[name=login]').fill('anna');
    await page.locator('input[name=password]').fill('secret');
    await page.locator('button[type=submit]').click();
    await page.locator('button[type=submit]:not([name=login])').click();
  }
  await page.waitForURL(/127\.0\.0\.1:\d+\/callback/);
  console.log((await page.locator('body').innerText()).replace(/\s+/g, ' ').trim());
}
await browser.close();
