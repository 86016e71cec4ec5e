// The same without script: forms, links and the address bar are all there is.

import { eventually, must, same } from "./checks.mjs";
import { button, isNowhere, path, press, says } from "./pages.mjs";

export const withoutScript = async ({ visitor, person }) => {
  const { page } = visitor;
  await visitor.go("/now");
  same(await page.locator("[data-pause]").count(), 0, "buttons that need script");
  await press(page, page.getByRole("link", { name: "Refresh" }));
  same(path(page), "/now", "where Refresh leads");
  same((await visitor.go("/now?refresh=30")).headers().refresh, "30", "the header that loads it again");

  for (const where of ["/users", "/analytics", "/dead-letters", "/drift", "/audit", "/tasks", "/help", "/runbook"]) {
    same((await visitor.go(where)).status(), 200, where);
  }
  await visitor.go("/users");
  await press(page, "a[data-older]");
  await press(page, "a[data-newer]");
  await page.selectOption("#group", "group 3");
  await press(page, button(page, "Filter"));
  must(await page.locator("tr[data-row]").count() > 0, "nobody of the group");
  same(await visitor.find(person.email), `/users/${person.sub}`, "found by the address");
  await press(page, "a[data-older]");
  await visitor.go(`/users/${person.sub}`);
  await isNowhere(page, person.secrets);
  await visitor.reveal("TICKET-8: without script");
  await says(page, person.email);
  await press(page, button(page, "Mask again"));
  await isNowhere(page, person.secrets);

  await press(page, button(page, "Dark"));
  same(await page.locator("html").getAttribute("data-theme"), "dark", "the theme");
  await press(page, button(page, "Auto"));

  await visitor.readLetters();
  await press(page, page.locator("tr[data-row] a", { hasText: "malformed" }));
  await press(page, "section[aria-labelledby=of-reason] tr[data-row] a");
  await press(page, button(page, "Drop 1…"));
  await visitor.start({ reason: "without script", count: 2 });
  must(path(page).startsWith("/plans/"), "a wrong count starts a task");
  await visitor.start({ count: 1 });
  await visitor.ended(() => page.reload());
  await visitor.plan("maintain");
  await visitor.start({ reason: "without script" });
  await visitor.ended(() => page.reload());
  await eventually("the trail has it", async () => {
    await visitor.go("/audit");
    return (await page.content()).includes("TICKET-8: without script");
  });
};
