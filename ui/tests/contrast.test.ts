// @vitest-environment node
import { readFileSync } from "node:fs";
import { expect, test } from "vitest";

/** WCAG 2.1: relative luminance and contrast of two colours written as #rrggbb. */
function luminance(hex: string): number {
  const [r, g, b] = [1, 3, 5].map((i) => {
    const c = parseInt(hex.slice(i, i + 2), 16) / 255;
    return c <= 0.03928 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  }) as [number, number, number];
  return 0.2126 * r + 0.7152 * g + 0.0722 * b;
}

function contrast(a: string, b: string): number {
  const [x, y] = [luminance(a), luminance(b)].sort((p, q) => q - p) as [number, number];
  return (x + 0.05) / (y + 0.05);
}

const css = readFileSync(new URL("../src/app.css", import.meta.url), "utf8");
const [light, dark] = css.split("@media (prefers-color-scheme: dark)") as [string, string];
const tokens = (part: string) => new Map(Array.from(part.matchAll(/--([\w-]+): (#[0-9a-f]{6});/g), (m) => [m[1] as string, m[2] as string]));

const text: [string, string[]][] = [
  ["ink", ["ground", "surface", "sunken", "raised", "line"]],
  ["soft", ["ground", "surface", "sunken"]],
  ["on-accent", ["accent", "accent-hover"]],
  ["good", ["surface", "good-tint"]],
  ["busy", ["busy-tint"]],
  ["calm", ["calm-tint"]],
  ["wait", ["wait-tint"]],
  ["alert", ["surface", "sunken", "alert-tint"]],
];
const shapes: [string, string[]][] = [
  ["edge", ["ground", "surface"]],
  ["accent", ["ground", "surface", "sunken"]],
];

test.each([
  ["light", tokens(light)],
  ["dark", tokens(dark)],
])("%s: text has 4.5 and shapes have 3 to 1", (_, colours) => {
  const poor = (pairs: [string, string[]][], least: number) =>
    pairs.flatMap(([ink, grounds]) =>
      grounds
        .map((ground) => [ink, ground, contrast(colours.get(ink) as string, colours.get(ground) as string)] as const)
        .filter(([, , c]) => !(c >= least)),
    );
  expect(poor(text, 4.5)).toEqual([]);
  expect(poor(shapes, 3)).toEqual([]);
});
