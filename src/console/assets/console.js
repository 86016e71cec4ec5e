// What the pages do more where a browser has script: regions that update, keys, buttons that copy. Everything works
// without. Nothing is kept, and nothing is asked of another host.

const root = document.documentElement;
const main = document.querySelector("main");
const all = (selector, within = document) => [...within.querySelectorAll(selector)];

// Updates: the same page again, and of it the regions marked by data-live.

const everySeconds = Number(main?.dataset.every ?? 10);
let paused = false;
let timer;
let lastGood = new Date();

/** A region within a region is the outer one's. */
const regions = (within) =>
  new Map(all("[data-live]", within).filter((region) => !region.parentElement.closest("[data-live]"))
    .map((region) => [region.dataset.live, region]));

const isInUse = (region) => {
  if (region.contains(document.activeElement)) return true;
  const selection = document.getSelection();
  return selection !== null && !selection.isCollapsed && selection.containsNode(region, true);
};

const replace = (region, fresh) => {
  if (isInUse(region)) return;
  const open = all("details", region).map((details) => details.open);
  const next = document.importNode(fresh, true);
  all("details", next).forEach((details, index) => { details.open = open[index] ?? details.open; });
  decorate(next);
  for (const { name, value } of next.attributes) region.setAttribute(name, value);
  // What is the same stays: a screen reader speaks of what changes.
  if (region.innerHTML !== next.innerHTML) region.replaceChildren(...next.childNodes);
};

const two = (number) => String(number).padStart(2, "0");
const clock = (at) => [at.getUTCHours(), at.getUTCMinutes(), at.getUTCSeconds()].map(two).join(":");

const say = (words, isStale) => {
  for (const place of all("[data-updates]")) {
    place.dataset.words ??= place.textContent;
    place.textContent = words ?? place.dataset.words;
    place.closest(".meta")?.classList.toggle("stale", isStale);
  }
};

const update = async () => {
  const answer = await fetch(location.href, { cache: "no-store", redirect: "error" });
  if (!answer.ok) throw new Error(`answered ${answer.status}`);
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const fresh = regions(page);
  for (const [name, region] of regions(document)) {
    if (fresh.has(name)) replace(region, fresh.get(name));
  }
  const every = page.querySelector("main")?.dataset.every;
  // A task that has ended is not asked for any more.
  if (main.dataset.every !== undefined && every === undefined) { paused = true; delete main.dataset.every; }
  lastGood = new Date();
  say(null, false);
};

const again = async () => {
  clearTimeout(timer);
  if (paused || document.hidden) return;
  try {
    await update();
  } catch {
    say(`Not updated since ${clock(lastGood)} UTC`, true);
  }
  clearTimeout(timer);
  if (!paused && !document.hidden) timer = setTimeout(again, everySeconds * 1000);
};

const pause = (isPaused) => {
  paused = isPaused;
  for (const button of all("[data-pause]")) button.textContent = paused ? "Go on" : "Pause";
  if (paused) { clearTimeout(timer); say(`paused at ${clock(new Date())} UTC`, false); } else { say(null, false); again(); }
};

// Copying: only where the browser permits it, which is on this machine and behind TLS.

const copyButton = (block) => {
  const button = document.createElement("button");
  Object.assign(button, { type: "button", className: "button small", textContent: "Copy" });
  button.addEventListener("click", async () => {
    await navigator.clipboard.writeText(block.querySelector("code").textContent);
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 2000);
  });
  return button;
};

/** Gives a part of the page what needs script. */
function decorate(within) {
  if (navigator.clipboard) {
    for (const block of all("[data-copy]:not(.has-copy)", within)) {
      block.classList.add("has-copy");
      block.append(copyButton(block));
    }
  }
  for (const link of all("[data-refresh]", within)) {
    const button = document.createElement("button");
    Object.assign(button, { type: "button", className: "button small", textContent: paused ? "Go on" : "Pause" });
    button.dataset.pause = "";
    button.addEventListener("click", () => pause(!paused));
    link.replaceWith(button);
  }
}

// Keys: to go somewhere, never to do something. /help turns them off.

const places = { n: "/now", u: "/users", a: "/analytics", d: "/dead-letters", r: "/drift" };
let going = 0;

const row = (step) => {
  const rows = all("[data-row]").map((row) => (row.matches("a, button") ? row : row.querySelector("a, button"))).filter(Boolean);
  const at = rows.indexOf(document.activeElement);
  rows[at < 0 ? (step > 0 ? 0 : rows.length - 1) : at + step]?.focus();
};

const find = () => {
  const field = document.querySelector("[data-find]");
  if (field) field.focus(); else location.assign("/users#find");
};

const follow = (selector) => document.querySelector(selector)?.click();

const keys = {
  "/": find,
  g: () => { going = Date.now(); },
  j: () => row(1),
  k: () => row(-1),
  "[": () => follow("a[data-newer]"),
  "]": () => follow("a[data-older]"),
  p: () => { if (document.querySelector("[data-pause]")) pause(!paused); },
  "?": () => location.assign("/help"),
};

const isField = (element) => element.isContentEditable || element.matches("input, select, textarea");

document.addEventListener("keydown", (event) => {
  if (root.dataset.keys === "off" || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (event.target instanceof Element && isField(event.target)) return;
  const place = Date.now() - going < 2000 ? places[event.key] : undefined;
  going = 0;
  if (place) location.assign(place);
  else if (Object.hasOwn(keys, event.key)) keys[event.key]();
  else return;
  event.preventDefault();
});

decorate(document);
if (main && all("[data-live]", main).length > 0) {
  document.addEventListener("visibilitychange", again);
  timer = setTimeout(again, everySeconds * 1000);
}
if (location.hash === "#find") find();
