// Everything that a visitor does with script. Each journey says what must be seen; pages are looked at on the way.

import { eventually, must, same } from "./checks.mjs";
import { button, isNowhere, path, press, says, text } from "./pages.mjs";

/** One-time links are used once; a stranger sees a page that says how to come in. */
export const signIn = async ({ visitor, stranger, url, looks }) => {
  const { page } = visitor;
  await page.goto(url);
  same(path(page), "/now", "where the link leads");
  must(!page.url().includes("token"), "the link's token is in the address");
  await stranger.goto(url);
  await says(stranger, "used");
  await looks.at(stranger, "link-used");
  await stranger.goto(`${visitor.base}/users`);
  await looks.at(stranger, "sign-in");
};

/** Counts how often the page asks for itself. */
const asks = (page) => {
  const counted = { asked: 0 };
  page.on("request", (request) => { if (request.resourceType() === "fetch") counted.asked += 1; });
  return counted;
};

const hide = (page, isHidden) => page.evaluate((hidden) => {
  Object.defineProperty(document, "hidden", { value: hidden, configurable: true });
  document.dispatchEvent(new Event("visibilitychange"));
}, isHidden);

/** The page's clock is the test's: ten seconds pass at once. */
export const now = async ({ visitor, looks }) => {
  await visitor.go("/now");
  await looks.at(visitor.page, "now");
  const page = await visitor.page.context().newPage();
  await page.clock.install();
  await page.goto(`${visitor.base}/now`);
  const counted = asks(page);
  const later = async (seconds) => { await page.clock.runFor(seconds * 1000); };
  await later(11);
  await eventually("the page asks for itself", () => counted.asked === 1);
  const time = () => page.locator(".meta span").first().innerText();
  const first = await time();
  // The page's clock may run ahead of the server's, which tells the time.
  await eventually("the time moves on", async () => { await later(11); return await time() !== first; });

  await button(page, "Pause").click();
  await says(page, "paused at");
  const before = counted.asked;
  await page.locator("main").click({ position: { x: 2, y: 2 } });
  await page.evaluate(() => { window.dispatchEvent(new Event("focus")); });
  await hide(page, true);
  await hide(page, false);
  await later(60);
  same(counted.asked, before, "requests while it is paused");
  await button(page, "Go on").click();
  await eventually("it goes on", () => counted.asked > before);

  await hide(page, true);
  await later(1);
  const hidden = counted.asked;
  await later(60);
  same(counted.asked, hidden, "requests of a hidden tab");
  await hide(page, false);
  await eventually("it asks when it is seen again", () => counted.asked > hidden);
  await page.close();
};

export const users = async ({ visitor, looks, person }) => {
  const { page } = visitor;
  await visitor.go("/users");
  await looks.at(page, "users");
  await isNowhere(page, person.secrets);
  const first = () => page.locator("td.lead").first().innerText();
  const top = await first();
  await press(page, "a[data-older]");
  must(await first() !== top, "the next page begins as the first");
  await press(page, "a[data-newer]");
  same(await first(), top, "the first page again");
  const filters = { status: "unconfirmed", group: "group 3", pool: "eu-west-1_Test00001", seen: "never" };
  for (const [field, value] of Object.entries(filters)) {
    await visitor.go("/users");
    await page.selectOption(`#${field}`, value);
    await press(page, button(page, "Filter"));
    must(page.url().includes(`${field}=`), `the filter is not in the address: ${page.url()}`);
    must(await page.locator("tr[data-row]").count() > 0, `nobody by ${field}`);
  }
  await looks.at(page, "users-filtered");
  for (const by of ["sub", "email", "phone", "userName"]) {
    same(await visitor.find(person[by]), `/users/${person.sub}`, `found by ${by}`);
    await isNowhere(page, person.secrets);
  }
  await visitor.find("frances surname1");
  must(await page.locator("tr[data-row]").count() > 1, "nobody by the beginning of a name");
  await looks.at(page, "users-found");
  await visitor.find("nobody.is@called.so");
  await looks.at(page, "users-found-none");
  await visitor.go(`/users/00000000-0000-4000-8000-000000000000`);
  await looks.at(page, "user-none");
};

export const timeline = async ({ visitor, looks, person }) => {
  const { page } = visitor;
  await visitor.go(`/users/${person.sub}`);
  await says(page, "The row is what");
  await looks.at(page, "user");
  same(await page.locator("ol.timeline > li").count(), 50, "lines of a page");
  const first = () => page.locator("ol.timeline > li").first().getAttribute("id");
  const latest = await first();
  await press(page, "a[data-older]");
  must(await first() !== latest, "older lines are the latest ones");
  await press(page, "a[data-newer]");
  same(await first(), latest, "the latest again");
  for (const show of ["Changes", "Sign-ins", "Trouble"]) {
    await press(page, page.locator("nav.segments a", { hasText: show }));
  }
  await looks.at(page, "user-trouble");
};

export const reveal = async ({ visitor, looks, person }) => {
  const { page } = visitor;
  await visitor.go(`/users/${person.sub}`);
  await visitor.reveal("");
  await looks.at(page, "reveal-without-reason");
  await isNowhere(page, person.secrets);
  await visitor.go(`/users/${person.sub}`);
  await visitor.reveal("TICKET-7: cannot sign in");
  same(path(page), `/users/${person.sub}`, "where a reveal leads");
  await says(page, person.email);
  await looks.at(page, "user-revealed");
  await press(page, button(page, "Mask again"));
  await isNowhere(page, person.secrets);
  await visitor.go("/users");
  await isNowhere(page, person.secrets);
};

export const analytics = async ({ visitor, looks }) => {
  const { page } = visitor;
  await visitor.go("/analytics");
  await says(page, "ounted up to");
  await looks.at(page, "analytics");
  const files = page.locator("a[href*='/analytics/']");
  const links = await files.evaluateAll((all) => all.map((link) => link.getAttribute("href")));
  must(links.length >= 16, `only ${links.length} files`);
  for (const link of links) {
    const answer = await page.request.get(visitor.base + link);
    same(answer.status(), 200, link);
    const body = await answer.text();
    if (link.includes(".json")) JSON.parse(body);
    else must(body.includes(",") && body.includes("\n"), `${link} is no CSV`);
  }
  const ranges = await page.locator("main nav.segments a").count();
  must(ranges >= 2, "no ranges to choose from");
  for (let at = 0; at < ranges; at += 1) await press(page, page.locator("main nav.segments a").nth(at));
  await visitor.go("/analytics?from=2026-13-99&to=x");
  await looks.at(page, "analytics-refused");
};

const redriveAll = (page) =>
  press(page, page.locator("tr[data-row]", { hasText: "refused_by_database" }).locator("button"));

export const deadLetters = async ({ visitor, looks, letters }) => {
  const { page } = visitor;
  await visitor.go("/dead-letters");
  await says(page, "Nobody has read this queue");
  await looks.at(page, "dead-letters-unread");
  await visitor.readLetters();
  await looks.at(page, "dead-letters");
  await press(page, page.locator("tr[data-row] a", { hasText: "refused_by_database" }));
  await looks.at(page, "dead-letters-reason");

  // One.
  await press(page, "section[aria-labelledby=of-reason] tr[data-row] a");
  await looks.at(page, "dead-letter");
  await press(page, button(page, "Redrive 1…"));
  await looks.at(page, "plan-of-one");
  same(await page.locator("#count").count(), 0, "counts to type for one message");
  await visitor.start({ reason: "change 882" });
  await visitor.ended();
  await looks.at(page, "task-ended");

  // Some, and then the rest not.
  await visitor.readLetters();
  await redriveAll(page);
  await visitor.start({ rate: 1, reason: "change 883", count: letters - 1 });
  await looks.at(page, "task-running");
  await press(page, button(page, "Cancel the rest"));
  await visitor.ended();
  await says(page, "ancelled");
  await looks.at(page, "task-cancelled");

  // All that are left.
  await visitor.readLetters();
  await redriveAll(page);
  const count = Number((await page.locator("label[for=count]").innerText()).replace(/\D/g, ""));
  must(count > 1 && count < letters, `${count} of ${letters} are left`);
  await looks.at(page, "plan");
  await visitor.start({ rate: 500, reason: "change 884", count: count + 1 });
  must(path(page).startsWith("/plans/"), "a wrong count starts a task");
  same(await page.locator("#count").getAttribute("aria-invalid"), "true", "the field of the wrong count");
  await looks.at(page, "plan-wrong");
  await visitor.start({ count });
  await visitor.ended();
  await says(page, String(count));

  // What can never be applied.
  await visitor.go("/dead-letters?queue=events&reason=malformed");
  for (const at of [0, 1]) await page.locator("input[name=pick]").nth(at).check();
  await press(page, button(page, "Drop the ticked…"));
  await looks.at(page, "plan-drop");
  await visitor.start({ reason: "a test of the producer", count: 2 });
  await visitor.ended();
};

export const drift = async ({ visitor, looks }) => {
  const { page } = visitor;
  for (const kind of ["maintain", "verify"]) {
    await visitor.plan(kind);
    await looks.at(page, `plan-${kind}`);
    await visitor.start({ reason: "the yearly test" });
    await visitor.ended();
    // A comparison that finds differences ends with another exit code.
    if (kind === "maintain") must(!/failed/i.test(await text(page)), `${kind} failed: ${await text(page)}`);
    await looks.at(page, `task-${kind}`);
  }
  await visitor.go("/drift");
  await looks.at(page, "drift");
  await press(page, "td a[href^='/drift/']");
  await looks.at(page, "run");
  await visitor.go("/drift");
  await press(page, "a[href*='?kind=']");
  await looks.at(page, "run-kind");
  await visitor.go("/drift");
  await press(page, page.locator("form[action$='/repair'] button"));
  await looks.at(page, "plan-repair");
  await visitor.go("/tasks");
  await looks.at(page, "tasks");
};

export const trail = async ({ visitor, looks, person }) => {
  const { page } = visitor;
  await visitor.go("/audit");
  await looks.at(page, "audit");
  const reasons = ["TICKET-7: cannot sign in", "change 882", "change 884", "a test of the producer", "the yearly test"];
  for (const said of [person.sub, ...reasons]) await says(page, said);
  await isNowhere(page, person.secrets);
  for (const did of ["revealed", "cancelled", "started"]) {
    await visitor.go(`/audit?did=${did}`);
    must(await page.locator("tr[data-row]").count() > 0, `nobody ${did}`);
  }
  await visitor.go("/audit?who=nobody");
  await looks.at(page, "audit-none");
};

export const theme = async ({ visitor, looks }) => {
  const { page } = visitor;
  await visitor.go("/drift");
  for (const [word, name] of [["Dark", "dark"], ["Light", "light"], ["Auto", "auto"]]) {
    await press(page, button(page, word));
    same(path(page), "/drift", "where a theme leads");
    same(await page.locator("html").getAttribute("data-theme"), name, "the theme");
  }
  for (const name of ["help", "runbook", "nothing"]) {
    await visitor.go(`/${name}`);
    await looks.at(page, name);
  }
};

export const keys = async ({ visitor }) => {
  const { page } = visitor;
  const type = async (...all) => { for (const key of all) await page.keyboard.press(key); };
  const focused = () => page.evaluate(() => document.activeElement.closest("[data-row]")?.rowIndex ?? null);
  await visitor.go("/now");
  const places = { u: "/users", a: "/analytics", d: "/dead-letters", r: "/drift", n: "/now" };
  for (const [key, where] of Object.entries(places)) {
    await Promise.all([page.waitForURL(`**${where}`), type("g", key)]);
  }
  await Promise.all([page.waitForURL("**/users#find"), type("/")]);
  await eventually("the field has the focus", () => page.evaluate(() => document.activeElement.id === "text"));
  await type("g", "n", "?");
  same(await page.inputValue("#text"), "gn?", "what was typed into a field");
  same(path(page), "/users", "keys in a field lead nowhere");
  await visitor.go("/users");
  await type("j", "j", "j", "k");
  same(await focused(), 2, "the row that j and k came to");
  await Promise.all([page.waitForURL(/after=/), type("]")]);
  await Promise.all([page.waitForURL(/users$/), type("[")]);
  await Promise.all([page.waitForURL("**/help"), type("?")]);
  await press(page, button(page, "Turn keys off"));
  await type("g", "u");
  await page.waitForTimeout(500);
  same(path(page), "/help", "keys that are off");
  await press(page, button(page, "Turn keys on"));
};

/** Who may only read is shown the command, and is refused whatever else is sent. */
export const reader = async ({ reader: visitor, readerUrl, looks, person }) => {
  const { page } = visitor;
  await page.context().grantPermissions(["clipboard-read", "clipboard-write"], { origin: visitor.base });
  await page.goto(readerUrl);
  await visitor.go("/drift");
  same(await page.locator("main form").count(), 0, "forms of a reader");
  await button(page, "Copy").click();
  await eventually("the button says so", async () => await button(page, "Copied").count() === 1);
  const copied = await page.evaluate(() => navigator.clipboard.readText());
  same(copied, await page.locator("pre.command code").first().innerText(), "what was copied");
  await looks.at(page, "drift-reader");
  await visitor.go("/dead-letters");
  await looks.at(page, "dead-letters-reader");
  await visitor.go(`/users/${person.sub}`);
  same(await page.locator("summary").count(), 0, "ways to reveal");
  await looks.at(page, "user-reader");
  const send = (action, fields) => Promise.all([page.waitForNavigation(), page.evaluate(([to, all]) => {
    const form = Object.assign(document.createElement("form"), { method: "post", action: to });
    for (const [name, value] of Object.entries(all)) {
      form.append(Object.assign(document.createElement("input"), { name, value }));
    }
    document.body.append(form);
    form.submit();
  }, [action, fields])]);
  const reveals = `/users/${person.sub}/reveal`;
  const refused = { "/plans": { kind: "verify" }, [reveals]: { reason: "x" }, "/dead-letters/read": {} };
  for (const [action, fields] of Object.entries(refused)) {
    await send(action, fields);
    await says(page, "Nothing was changed");
    await isNowhere(page, person.secrets);
  }
  await looks.at(page, "forbidden");
  await visitor.go("/audit?did=refused");
  must(await page.locator("tr[data-row]").count() >= 3, "refusals are not in the trail");
};

/** The database stops while a page is open, and comes back. */
export const outage = async ({ visitor, looks, person, ask }) => {
  const { page } = visitor;
  await visitor.plan("maintain");
  const plan = page.url();
  const open = await page.context().newPage();
  await open.goto(`${visitor.base}/now`);
  await ask("stop the database");
  const isSilent = async () => (await text(open)).includes("The database does not answer since");
  await eventually("the open page says so", isSilent);
  await says(open, "What still works here");
  await looks.at(open, "now-silent");
  for (const where of ["/users", "/drift", `/users/${person.sub}`, "/analytics", "/audit", new URL(plan).pathname]) {
    same((await visitor.go(where)).status(), 503, where);
    await isNowhere(page, person.secrets);
    if (where === "/users") await looks.at(page, "silent");
  }
  same((await visitor.go("/dead-letters")).status(), 200, "/dead-letters");
  await says(page, "malformed");
  await press(page, "form[action='/dead-letters/read'] button");
  await says(page, "Nothing was done");
  await looks.at(page, "unwritten");
  await ask("start the database");
  await eventually("the open page recovers", async () => !await isSilent());
  await open.close();
  same((await visitor.go("/users")).status(), 200, "/users afterwards");
  must(await page.locator("tr[data-row]").count() > 0, "users afterwards");
};
