// The checks of look.mjs find the faults that they are for.

import assert from "node:assert/strict";
import { test } from "node:test";
import { launch, skip } from "./browser.mjs";
import { faint, shifted, unnamed, unreached, watchShifts } from "./look.mjs";

test("faults are found", { skip }, async () => {
  const browser = await launch("--disable-gpu");
  const page = await browser.newPage();
  await watchShifts(page);
  const good = Array.from({ length: 25 }, (_, i) => `<p><button>fine ${i}</button></p>`).join("");
  const html = `<style>button:focus { outline: none } .o:focus { outline: 2px solid }</style><main style="background:#fff"><div id="late"></div>${good.replaceAll("<button", "<button class=o")}
    <p style="color:#888">grey on white</p><button class="o" id="nameless"></button><button>silent</button><p tabindex="0" id="far" style="display:block" onfocus="this.blur()">x</p></main>`;
  await page.goto("data:text/html," + encodeURIComponent(html));
  await page.waitForTimeout(200);
  assert.ok((await shifted(page))[0] < 0.001);
  await page.evaluate(() => (document.getElementById("late").style.height = "300px"));
  await page.waitForTimeout(300);
  assert.ok((await shifted(page))[0] > 0.05);
  assert.deepEqual((await faint(page)).map((f) => f.slice(0, 15)), ["'grey on white'"]);
  assert.deepEqual(await unnamed(page), ["button"]);
  const missed = await unreached(page);
  assert.ok(missed.some((m) => m.startsWith("not reached") && m.includes("far")) && missed.some((m) => m.includes("no outline") && m.includes("silent")), JSON.stringify(missed));
  await browser.close();
});
