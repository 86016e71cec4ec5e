// Takes pictures of every page of a console that runs: `node tests/browser/shots.mjs ONE_TIME_URL FOLDER [NAME …]`.
// It starts nothing: it makes plans, to show them, and leaves them. It reads the dead letters and reveals one user.

import { mkdirSync } from "node:fs";
import { launch, pictures, visit } from "./browser.mjs";

const [url, folder, ...wanted] = process.argv.slice(2);
if (!folder) {
  console.error("node tests/browser/shots.mjs ONE_TIME_URL FOLDER [NAME …]");
  process.exit(2);
}
const base = new URL(url).origin;
const go = (page, path) => page.goto(base + path);

/** Follows the first link or presses the first button of this kind; false where there is none. */
const press = async (page, selector) => {
  const found = page.locator(selector).first();
  if (await found.count() === 0) return false;
  await Promise.all([page.waitForNavigation(), found.click()]);
};

/** Each page, and how to come there; `false` where this deployment has none. */
const PAGES = {
  "now": (page) => go(page, "/now"),
  "users": (page) => go(page, "/users"),
  "users-filtered": (page) => go(page, "/users?seen=never"),
  "users-none": (page) => go(page, "/users?status=nothing&group=nobody"),
  "users-found-none": async (page) => {
    await go(page, "/users");
    await page.fill("#text", "nobody.is@called.so");
    await press(page, "form.find button");
  },
  "user": async (page) => { await go(page, "/users"); return press(page, "td.lead a"); },
  "user-changes": async (page) => {
    await go(page, "/users");
    if (await press(page, "td.lead a") === false) return false;
    return go(page, `${new URL(page.url()).pathname}?show=changes`);
  },
  "user-revealed": async (page) => {
    await go(page, "/users");
    if (await press(page, "td.lead a") === false || await page.locator("summary").count() === 0) return false;
    await page.locator("summary").first().click();
    await page.fill("#reason", "TICKET-1: pictures");
    return press(page, "details form button");
  },
  "user-none": (page) => go(page, "/users/00000000-0000-4000-8000-000000000000"),
  "analytics": (page) => go(page, "/analytics"),
  "analytics-7d": (page) => go(page, "/analytics?range=7d"),
  "dead-letters-unread": (page) => go(page, "/dead-letters"),
  "dead-letters": async (page) => {
    await go(page, "/dead-letters");
    return press(page, "form[action='/dead-letters/read'] button");
  },
  "dead-letters-reason": async (page) => { await go(page, "/dead-letters"); return press(page, "tr[data-row] a"); },
  "dead-letter": async (page) => {
    await go(page, "/dead-letters");
    if (await press(page, "tr[data-row] a") === false) return false;
    return press(page, "section[aria-labelledby=of-reason] tr[data-row] a");
  },
  "plan-redrive": async (page) => { await go(page, "/dead-letters"); return press(page, "button[value=redrive_all]"); },
  "plan-wrong": async (page) => {
    await go(page, "/dead-letters");
    if (await press(page, "button[value=redrive_all]") === false) return false;
    return press(page, "form[action^='/plans/'] button");
  },
  "plan-drop": async (page) => {
    await go(page, "/dead-letters");
    if (await press(page, "tr[data-row] a") === false) return false;
    return press(page, "button[value=drop_all]");
  },
  "plan-verify": async (page) => {
    await go(page, "/drift");
    return press(page, "form:has(input[value=verify]) button");
  },
  "drift": (page) => go(page, "/drift"),
  "run": async (page) => { await go(page, "/drift"); return press(page, "td a[href^='/drift/']"); },
  "tasks": (page) => go(page, "/tasks"),
  "task": async (page) => { await go(page, "/tasks"); return press(page, "a[href^='/tasks/']"); },
  "audit": (page) => go(page, "/audit"),
  "audit-refused": (page) => go(page, "/audit?did=refused"),
  "help": (page) => go(page, "/help"),
  "runbook": (page) => go(page, "/runbook"),
  "not-found": (page) => go(page, "/nothing"),
  "refused": (page) => go(page, "/plans/no-plan"),
};

mkdirSync(folder, { recursive: true });
const browser = await launch();
try {
  const isWanted = (name) => wanted.length === 0 || wanted.includes(name);
  const page = await (await visit(browser)).newPage();
  await page.goto(url);
  for (const [name, come] of Object.entries(PAGES).filter(([name]) => isWanted(name))) {
    const came = await come(page);
    if (came === false) console.log(`no ${name} here`); else await pictures(page, folder, name);
  }
  if (isWanted("sign-in")) {
    const stranger = await (await visit(browser)).newPage();
    await go(stranger, "/users");
    await pictures(stranger, folder, "sign-in");
  }
} finally {
  await browser.close();
}
