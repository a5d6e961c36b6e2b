// Checks like Lighthouse's, run on a page in the browser.

/** Texts whose contrast is below AA (4.5; 3 for large ones), with their contrast. */
export const faint = (page) =>
  page.evaluate(() => {
    const parsed = (color) => {
      const [r, g, b, a = 1] = color.match(/[\d.]+/g).map(Number);
      return [r, g, b, a];
    };
    const over = ([r, g, b, a], under) => [r, g, b].map((v, i) => a * v + (1 - a) * under[i]);
    const ground = (element) => {
      const above = [];
      for (let e = element; e; e = e.parentElement) {
        const color = parsed(getComputedStyle(e).backgroundColor);
        above.push(color);
        if (color[3] === 1) break;
      }
      const canvas = matchMedia("(prefers-color-scheme: dark)").matches ? [18, 18, 18] : [255, 255, 255];
      return above.reverse().reduce((under, color) => over(color, under), canvas);
    };
    const luminance = (rgb) => {
      const [r, g, b] = rgb.map((v) => (v / 255 <= 0.04045 ? v / 255 / 12.92 : ((v / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const found = [];
    const look = (element, text, style) => {
      if (!text.trim() || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true }) || element.matches(":disabled")) return;
      const under = ground(element);
      const [light, dark] = [luminance(over(parsed(style.color), under)), luminance(under)].sort((a, b) => b - a);
      const contrast = (light + 0.05) / (dark + 0.05);
      const size = parseFloat(style.fontSize);
      const large = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700);
      if (contrast < (large ? 3 : 4.5)) found.push(`'${text.trim().slice(0, 40)}' ${contrast.toFixed(2)}`);
    };
    const texts = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
    let count = 0;
    while (texts.nextNode()) {
      const { parentElement: element, textContent } = texts.currentNode;
      if (["SCRIPT", "STYLE", "NOSCRIPT", "OPTION"].includes(element.tagName)) continue;
      look(element, textContent, getComputedStyle(element));
      count++;
    }
    for (const input of document.querySelectorAll("input[placeholder]")) look(input, input.placeholder, getComputedStyle(input, "::placeholder"));
    return count > 20 ? found : [`only ${count} texts`];
  });

const NAMED = ["button", "checkbox", "radio", "slider", "combobox", "textbox", "searchbox", "image", "img", "progressbar", "link", "DisclosureTriangle", "dialog"];

/** Elements that a screen reader would find without a name. */
export async function unnamed(page) {
  const client = await page.context().newCDPSession(page);
  const { nodes } = await client.send("Accessibility.getFullAXTree");
  const asked = nodes.filter((n) => !n.ignored && NAMED.includes(n.role?.value));
  return asked.length > 3 ? asked.filter((n) => !n.name?.value?.trim()).map((n) => n.role.value) : [`only ${asked.length}`];
}

/** Controls that Tab does not reach, or that do not show the focus. */
export async function unreached(page) {
  const operable = await page.evaluate(() => {
    const all = [...document.querySelectorAll("a[href], button:enabled, input:enabled, summary, [tabindex='0']")];
    const shown = all.filter((e) => e.checkVisibility({ visibilityProperty: true }));
    // Of radio buttons with the same name, Tab reaches the checked one; arrow keys reach the others.
    const own = shown.filter((e) => e.type !== "radio" || e.checked);
    own.forEach((e, i) => (e.dataset.operable = i));
    window.scrollTo(0, 0);
    document.activeElement?.blur();
    return own.length;
  });
  const reached = new Set();
  const silent = [];
  for (let i = 0; i < operable + 5; i++) {
    await page.keyboard.press("Tab");
    const [number, visible, what] = await page.evaluate(() => {
      const e = document.activeElement;
      const outlined = (x) => x && getComputedStyle(x).outlineStyle !== "none" && parseFloat(getComputedStyle(x).outlineWidth) > 0;
      return [e.dataset.operable, outlined(e) || outlined(e.closest("label")), `${e.tagName} ${e.id} ${e.textContent.slice(0, 30)}`];
    });
    if (number !== undefined) reached.add(number);
    if (number !== undefined && !visible) silent.push(`no outline: ${what}`);
  }
  const missed = await page.evaluate((got) => [...document.querySelectorAll("[data-operable]")].filter((e) => !got.includes(e.dataset.operable)).map((e) => `not reached: ${e.outerHTML.slice(0, 80)}`), [...reached]);
  return [...missed, ...new Set(silent)];
}

/** Starts to sum up the layout shifts of a page, before it is opened. */
export const watchShifts = (page) =>
  page.addInitScript(() => {
    window.shifts = [];
    new PerformanceObserver((list) => {
      for (const entry of list.getEntries()) {
        const what = entry.sources.map((s) => s.node?.id || s.node?.className || s.node?.nodeName).join(", ");
        if (!entry.hadRecentInput) window.shifts.push([entry.value, what]);
      }
    }).observe({ type: "layout-shift", buffered: true });
  });

/** The total layout shift, and the elements that shifted. */
export async function shifted(page) {
  const shifts = await page.evaluate(() => window.shifts);
  return [shifts.reduce((sum, [value]) => sum + value, 0), shifts.filter(([value]) => value > 0.001)];
}
