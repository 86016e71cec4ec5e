// What must be so of every page, whatever it shows: nothing of another host, no breach of its policy, nothing personal
// in its address; and, where it is looked at: no finding of axe, no scrolling sideways. Must not know a page.

import { mkdirSync } from "node:fs";
import { PHONE, SMALL, WIDE, axeSource, everyWay, pictures } from "./browser.mjs";

/** What axe finds, a line for each rule, with the first elements that break it. */
const FINDINGS = `axe.run(document, { preload: false, resultTypes: ["violations"] }).then(({ violations }) => {
  const told = ({ target, any }) => target.join(" ") + " " + (any[0]?.message ?? "");
  return violations.map(({ id, nodes }) => id + ": " + nodes.slice(0, 3).map(told).join("; "));
})`;

const SIZES = { "1280": WIDE, "390": PHONE, "320": SMALL };

/** Fails with a sentence. */
export const must = (isSo, sentence) => {
  if (!isSo) throw new Error(sentence);
};

export const same = (is, wanted, what) =>
  must(is === wanted, `${what}: ${JSON.stringify(is)} in place of ${JSON.stringify(wanted)}`);

/** Asks again and again; fails after the limit. */
export const eventually = async (what, isSo, limitMs = 60_000) => {
  for (const until = Date.now() + limitMs; !(await isSo());) {
    must(Date.now() < until, `not within ${limitMs / 1000} s: ${what}`);
    await new Promise((resolve) => { setTimeout(resolve, 100); });
  }
};

/** What went wrong while nobody looked. */
export class Watch {
  #found = [];
  #base;
  #personal;
  /** How many answers were pages. */
  pages = 0;

  /** `personal`: what may be in no address. */
  constructor(base, personal) {
    this.#base = base;
    this.#personal = personal.map((text) => text.toLowerCase());
  }

  over(context) {
    const note = (text) => this.#found.push(text);
    context.on("weberror", (error) => note(`a script failed: ${error.error()}`));
    context.on("console", (message) => {
      if (/content security policy/i.test(message.text())) note(`the policy was broken: ${message.text()}`);
    });
    context.on("request", (request) => {
      const url = request.url();
      if (new URL(url).origin !== this.#base) note(`something else was asked: ${url}`);
      const said = decodeURIComponent(url).toLowerCase();
      for (const text of this.#personal) if (said.includes(text)) note(`${text} is in an address: ${url}`);
    });
    context.on("response", (response) => {
      if (!/^text\/html/.test(response.headers()["content-type"] ?? "")) return;
      this.pages += 1;
      const policy = response.headers()["content-security-policy"] ?? "";
      const isStrict = policy.startsWith("default-src 'none'") && !policy.includes("unsafe");
      if (!isStrict) note(`${response.url()} has the policy ${policy}`);
      if (response.headers()["cache-control"] !== "no-store") note(`${response.url()} may be kept`);
    });
    return context;
  }

  end() {
    must(this.#found.length === 0, [...new Set(this.#found)].join("\n"));
  }
}

/** Looks at pages as they stand, and gathers what is wrong with any of them. */
export class Looks {
  #axe = axeSource();
  #sessions = new WeakMap();
  #folder;
  findings = [];
  seen = [];

  /** `folder`: where pictures go; none are taken without. */
  constructor(folder) {
    this.#folder = folder;
    if (folder) mkdirSync(folder, { recursive: true });
  }

  /** In both themes and three widths. */
  async at(page, name) {
    const world = await this.#world(page);
    await world(this.#axe);
    await everyWay(page, SIZES, async (theme, size, { width }) => {
      const found = await world(FINDINGS);
      for (const one of found) this.findings.push(`${name}, ${theme}, ${size}: ${one}`);
      const wide = await world("document.documentElement.scrollWidth");
      if (wide > width) this.findings.push(`${name}, ${theme}, ${size}: is ${wide} wide`);
    });
    this.seen.push(name);
    if (this.#folder) await pictures(page, this.#folder, name);
  }

  /** Evaluates in a world beside the page's own: its policy holds for the page as ever. */
  async #world(page) {
    if (!this.#sessions.has(page)) this.#sessions.set(page, await page.context().newCDPSession(page));
    const session = this.#sessions.get(page);
    const { frameTree } = await session.send("Page.getFrameTree");
    const asked = { frameId: frameTree.frame.id, worldName: "looks" };
    const { executionContextId: contextId } = await session.send("Page.createIsolatedWorld", asked);
    return async (expression) => {
      const awaited = { expression, contextId, awaitPromise: true, returnByValue: true };
      const { result, exceptionDetails } = await session.send("Runtime.evaluate", awaited);
      must(!exceptionDetails, `axe failed: ${exceptionDetails?.exception?.description}`);
      return result.value;
    };
  }

  end() {
    must(this.findings.length === 0, this.findings.join("\n"));
  }
}
