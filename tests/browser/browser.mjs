// What the drivers share: the Chromium that is installed, and contexts of it. Must not know a page of the console.

import { createRequire } from "node:module";
import { accessSync, constants, readFileSync } from "node:fs";
import { homedir } from "node:os";
import { delimiter, join } from "node:path";

/** Where the packages of package.json were installed: outside the working copy. */
const packages = process.env.USER_SYNC_BROWSER_PACKAGES
  || join(process.env.XDG_CACHE_HOME || join(homedir(), ".cache"), "user-sync", "browser");
const need = createRequire(join(packages, "package.json"));

/** The rules of accessibility, as a script for a page. */
export const axeSource = () => readFileSync(need.resolve("axe-core/axe.min.js"), "utf8");

const isProgram = (path) => {
  try { accessSync(path, constants.X_OK); return true; } catch { return false; }
};

/** The browser's program. */
const program = () => {
  const named = process.env.USER_SYNC_TEST_CHROMIUM;
  if (named) return named;
  const names = ["chromium", "chromium-browser", "google-chrome"];
  const found = (process.env.PATH ?? "").split(delimiter).flatMap((folder) => names.map((name) => join(folder, name)))
    .find(isProgram);
  if (!found) throw new Error(`none of ${names.join(", ")} is in PATH; USER_SYNC_TEST_CHROMIUM names another`);
  return found;
};

/** Starts the browser. It asks nothing of anybody by itself, and ends with this process. */
export const launch = () => need("playwright-core").chromium.launch({
  executablePath: program(),
  args: ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"],
});

export const WIDE = { width: 1280, height: 900 };
export const PHONE = { width: 390, height: 844 };
export const SMALL = { width: 320, height: 640 };

/** Twice the room of what a slow machine takes; no call waits without an end. */
export const LIMIT_MS = 30_000;

/** A visitor of the console: a context of its own, with its cookies. */
export const visit = async (browser, options = {}) => {
  const context = await browser.newContext({ viewport: WIDE, locale: "en-GB", timezoneId: "UTC", ...options });
  context.setDefaultTimeout(LIMIT_MS);
  context.setDefaultNavigationTimeout(LIMIT_MS);
  return context;
};

/** Gives the page as it stands to `look`, in both themes and in each of these sizes. */
export const everyWay = async (page, sizes, look) => {
  for (const theme of ["light", "dark"]) {
    await page.emulateMedia({ colorScheme: theme });
    for (const [name, size] of Object.entries(sizes)) {
      await page.setViewportSize(size);
      await look(theme, name, size);
    }
  }
  await page.emulateMedia({ colorScheme: "light" });
  await page.setViewportSize(WIDE);
};

/** Writes pictures of the page as it stands: both themes, wide and narrow. */
export const pictures = async (page, folder, name) => {
  await everyWay(page, { wide: WIDE, narrow: PHONE }, async (theme, size) => {
    const path = join(folder, `${name}-${theme}-${size}.png`);
    await page.screenshot({ path, fullPage: true, animations: "disabled" });
  });
};
