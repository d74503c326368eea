// Whether people can use a page who do not see it, or not as others do.

import assert from "node:assert/strict";
import { createRequire } from "node:module";
import { readFile } from "node:fs/promises";

const axe = await readFile(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** That axe finds nothing serious on a page or in what a selector names; `what` says what is seen. */
export async function assertAccessible(page, what, selector) {
  // It measures colours: nothing may be half seen.
  await settled(page);
  if (!(await page.evaluate(() => typeof window.axe === "object"))) await page.evaluate(axe);
  const found = await page.evaluate(async (within) => {
    const { violations, passes } = await window.axe.run(within ?? document, { resultTypes: ["violations"] });
    const bad = violations.filter(({ impact }) => ["serious", "critical"].includes(impact));
    return { passes: passes.length, bad: bad.map(({ id, nodes }) => `${id}: ${nodes.map((node) => `${node.target.flat()} ${node.failureSummary}`).join("; ")}`) };
  }, selector);
  assert.ok(found.passes > 0, `axe has looked at ${what}`);
  assert.deepEqual(found.bad, [], what);
}

/** Waits until what moves once has stood still, in shadow roots too. */
export async function settled(page) {
  await page.evaluate(async () => {
    const roots = [document, ...[...document.querySelectorAll("*")].map((one) => one.shadowRoot).filter(Boolean)];
    const all = roots.flatMap((root) => root.getAnimations());
    const ending = all.filter((one) => one.effect.getComputedTiming().iterations !== Infinity);
    await Promise.all(ending.map((one) => one.finished.catch(() => {})));
  });
}

/**
 * The contrasts of all texts below an element, as `[text, ratio]`. Colours are resolved by painting them, each over
 * what is behind it.
 */
export function contrasts(locator) {
  return locator.evaluate((root) => {
    const brush = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d", { willReadFrequently: true });
    const over = (colours) => {
      brush.clearRect(0, 0, 1, 1);
      for (const colour of ["#fff", ...colours]) {
        brush.fillStyle = colour;
        brush.fillRect(0, 0, 1, 1);
      }
      return [...brush.getImageData(0, 0, 1, 1).data].slice(0, 3);
    };
    const luminance = (colour) => {
      const [r, g, b] = colour.map((part) => (part / 255 <= 0.04045 ? part / 255 / 12.92 : ((part / 255 + 0.055) / 1.055) ** 2.4));
      return 0.2126 * r + 0.7152 * g + 0.0722 * b;
    };
    const ratio = (one, other) => {
      const [dark, light] = [luminance(one), luminance(other)].sort((a, b) => a - b);
      return (light + 0.05) / (dark + 0.05);
    };
    const behind = (element) => {
      const colours = [];
      for (let one = element; one; one = one.parentElement ?? one.getRootNode().host) colours.unshift(getComputedStyle(one).backgroundColor);
      return colours;
    };
    const seen = [];
    const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
    while (walker.nextNode()) {
      const element = walker.currentNode.parentElement;
      if (!walker.currentNode.data.trim() || !element.checkVisibility() || element.closest(".hidden")) continue;
      const colours = behind(element);
      seen.push([walker.currentNode.data, ratio(over([...colours, getComputedStyle(element).color]), over(colours))]);
    }
    return seen;
  });
}
