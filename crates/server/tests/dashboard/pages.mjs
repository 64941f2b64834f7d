// Every page at two sizes, light and dark: nothing is too wide, every part has a name, axe finds nothing serious. With a picture each.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');
const SIZES = [['wide', { width: 1280, height: 800 }], ['narrow', { width: 390, height: 844 }]];

const look = async (page, what, { check, folder, colorScheme, name }) => {
  const overflow = await page.evaluate(() => document.documentElement.scrollWidth - innerWidth);
  check(overflow <= 0, `${what} is ${overflow} px too wide (${name})`);
  const nameless = await page.evaluate(() => [...document.querySelectorAll('a, button, input:not([type=hidden]), select, textarea')]
    .filter((part) => !(part.textContent.trim() || part.labels?.length || part.getAttribute('aria-label'))).map((part) => part.outerHTML));
  check(nameless.length === 0, `${what} has parts without a name: ${nameless[0]}`);
  // The page's policy refuses scripts that are added: this one is the test's own.
  const found = await page.evaluate(`(() => { ${axe}; return axe.run(document, { resultTypes: ['violations'] }); })()`);
  for (const { id, impact, nodes } of found.violations.filter((found) => ['serious', 'critical'].includes(found.impact))) {
    check(false, `${what} (${name}, ${colorScheme}): axe ${impact} ${id}: ${nodes[0].html.slice(0, 200)} ${nodes[0].failureSummary.split('\n')[1] ?? ''}`);
  }
  await page.screenshot({ path: `${folder}/${what}-${name}-${colorScheme}.png`, fullPage: true });
};

export const everyPage = async ({ open, enter, check, origin, link, folder, pages, users }) => {
  for (const colorScheme of ['light', 'dark']) {
    const signedIn = colorScheme === 'light' ? await enter({ colorScheme }, ['400', '404']) : null;
    const state = signedIn ? await signedIn.context().storageState() : everyPage.state;
    everyPage.state = state;
    for (const [name, viewport] of SIZES) {
      const page = await open({ colorScheme, viewport, storageState: state }, ['400', '404']);
      for (const [what, path] of Object.entries(pages)) {
        await page.goto(`${origin}${path}`);
        await look(page, what, { check, folder, colorScheme, name });
      }
      const stranger = await open({ colorScheme, viewport }, ['410', '400']);
      for (const [what, path] of Object.entries({ 'sign-in': '/dashboard/sign-in', 'sign-in-link': link, over: '/connect?session_token=old', ...users })) {
        await stranger.goto(`${origin}${path}`);
        await look(stranger, what, { check, folder, colorScheme, name });
      }
      await page.context().close();
      await stranger.context().close();
    }
  }
};
