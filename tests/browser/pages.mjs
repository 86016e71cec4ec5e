// How a visitor does what the pages offer, with script and without: links, buttons and forms, as people find them.

import { eventually, must } from "./checks.mjs";

/** Clicks, and waits for the page that comes. */
export const press = async (page, what) => {
  const found = typeof what === "string" ? page.locator(what).first() : what;
  await Promise.all([page.waitForNavigation(), found.click()]);
};

export const button = (page, name) => page.getByRole("button", { name }).first();

export const text = (page) => page.locator("main").innerText();

export const says = async (page, words) => {
  const said = await text(page);
  must(said.includes(words), `no ${JSON.stringify(words)} at ${page.url()}: ${said.slice(0, 1500)}`);
};

export const path = (page) => new URL(page.url()).pathname;

/** Everything that a visitor gets of a page, seen or not. */
export const isNowhere = async (page, secrets) => {
  const source = await page.content();
  const found = secrets.filter((secret) => source.includes(secret));
  must(found.length === 0, `${found.join(", ")} in the source of ${page.url()}`);
};

export class Visitor {
  constructor(page, base) {
    this.page = page;
    this.base = base;
  }

  go(where) { return this.page.goto(this.base + where); }

  /** Searches, by a form that keeps what was typed out of the address. */
  async find(words) {
    await this.go("/users");
    await this.page.fill("#text", words);
    await press(this.page, "form.find button");
    return path(this.page);
  }

  async reveal(reason) {
    await this.page.locator("summary").first().click();
    await this.page.fill("#reason", reason);
    await press(this.page, button(this.page, "Reveal for 10 minutes"));
  }

  /** Reads the dead letters, and waits until they are read. */
  async readLetters() {
    await this.go("/dead-letters");
    await press(this.page, "form[action='/dead-letters/read'] button");
    await eventually("the dead letters are read", async () => {
      await this.go("/dead-letters");
      return !(await text(this.page)).includes("Reading since");
    });
  }

  /** Fills in a plan that is open, and starts it. */
  async start({ rate, reason, count }) {
    if (rate !== undefined) await this.page.fill("#rate", String(rate));
    if (reason !== undefined) await this.page.fill("#reason", reason);
    if (count !== undefined) await this.page.fill("#count", String(count));
    await press(this.page, "form[action^='/plans/'] button");
  }

  /** Waits for the end of the task that is open; `again` asks for the page where no script does. */
  async ended(again = async () => {}) {
    must(path(this.page).startsWith("/tasks/"), `no task: ${this.page.url()}: ${await text(this.page)}`);
    await eventually(`the task ends: ${this.page.url()}`, async () => {
      await again();
      return await this.page.locator("main .mark-running").count() === 0;
    }, 180_000);
  }

  /** Makes the plan of a command of the drift page. */
  async plan(kind) {
    await this.go("/drift");
    await press(this.page, `form:has(input[value=${kind}]) button`);
  }
}
