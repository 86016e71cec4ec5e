// Drives every page of a console that `tests/browser.rs` starts: `node drive.mjs ORDER`, where ORDER is JSON. It asks
// for what only the test can do by a line on stdout, and goes on when a line comes back.

import { createInterface } from "node:readline";
import { launch, visit } from "./browser.mjs";
import { Looks, Watch, must } from "./checks.mjs";
import * as journeys from "./journeys.mjs";
import { Visitor } from "./pages.mjs";
import { withoutScript } from "./plain.mjs";

const order = JSON.parse(process.argv[2]);
const answers = createInterface({ input: process.stdin })[Symbol.asyncIterator]();

/** In this order: each leaves what the next ones look for. */
const JOURNEYS = ["now", "users", "timeline", "reveal", "analytics", "deadLetters", "drift", "trail", "theme", "keys",
  "reader", "outage"];

const ask = async (what) => {
  console.log(`please ${what}`);
  const { value } = await answers.next();
  must(value === "done", `${what}: ${value}`);
};

const said = async (name, does) => {
  const from = Date.now();
  await does();
  console.log(`${name}: ${((Date.now() - from) / 1000).toFixed(1)} s`);
};

const browser = await launch();
let page;
try {
  const bases = [order.url, order.readerUrl].map((url) => new URL(url).origin);
  const watches = bases.map((base) => new Watch(base, order.person.secrets));
  const [own, stranger, other] = await Promise.all([visit(browser), visit(browser), visit(browser)]);
  [own, stranger].forEach((context) => watches[0].over(context));
  watches[1].over(other);
  page = await own.newPage();
  const looks = new Looks(process.env.USER_SYNC_TEST_SHOTS);
  const all = {
    ...order,
    visitor: new Visitor(page, bases[0]),
    reader: new Visitor(await other.newPage(), bases[1]),
    stranger: await stranger.newPage(),
    looks,
    ask,
  };
  const wanted = (process.env.USER_SYNC_TEST_JOURNEYS ?? "").split(",").filter(Boolean);
  const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
  await said("signIn", () => journeys.signIn(all));
  for (const name of JOURNEYS.filter(isWanted)) await said(name, () => journeys[name](all));
  if (isWanted("plain")) {
    const plain = await visit(browser, { javaScriptEnabled: false, storageState: await own.storageState() });
    page = await watches[0].over(plain).newPage();
    await said("plain", () => withoutScript({ ...all, visitor: new Visitor(page, bases[0]) }));
  }
  for (const watch of watches) watch.end();
  looks.end();
  const answered = watches[0].pages + watches[1].pages;
  console.log(`${looks.seen.length} pages were looked at in 6 ways, ${answered} were answered`);
} catch (error) {
  console.error(`at ${page?.url()}: ${error.stack}`);
  process.exitCode = 1;
} finally {
  await browser.close();
}
process.exit();
