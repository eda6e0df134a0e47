import { expect, test } from "vitest";
import { Format } from "../src/lib/format";
import { untilTomorrow } from "../src/lib/pause";

const en = new Format("en-GB");
const de = new Format("de-DE");
const now = new Date("2026-11-21T14:30:00Z");
const ago = (seconds: number) => en.relative(new Date(now.getTime() - seconds * 1000), now);

test("ages are rounded down, countdowns of seconds up", () => {
  expect([0, 0.4, 59.9, 60, 119, 3599, 3600, 86_399].map(ago)).toEqual([
    "now", "now", "59 sec ago", "1 min ago", "1 min ago", "59 min ago", "1 hr ago", "23 hr ago",
  ]);
  expect([-0.4, -39.2, -60, -61, -300.4].map(ago)).toEqual(["in 1 sec", "in 40 sec", "in 1 min", "in 1 min", "in 5 min"]);
});

test("sizes, numbers and times follow the language", () => {
  expect([0, 1, 999, 1_500, 12_345, 1_480_220].map((n) => en.bytes(n))).toEqual([
    "0 bytes", "1 byte", "999 bytes", "1.5 kB", "12 kB", "1.5 MB",
  ]);
  expect(de.bytes(1_480_220)).toBe("1,5 MB");
  expect(de.number(1_204)).toBe("1.204");
  expect(de.plural(1, { one: "# Eintrag", other: "# Einträge" })).toBe("1 Eintrag");
  expect(de.plural(1_204, { one: "# Eintrag", other: "# Einträge" })).toBe("1.204 Einträge");
});

test("a duration is never nothing", () => {
  expect([0, 0.42, 9.96, 40, 150, 7_300].map((s) => en.duration(s).replace(/s$/, ""))).toEqual(["0.1 sec", "0.4 sec", "10 sec", "40 sec", "3 min", "2 hr"]);
});

test("a clock time has its day when it is not today", () => {
  expect(en.clock(new Date("2026-11-21T15:00:00Z"), now)).toBe("15:00");
  expect(new Format("en-US").clock(new Date("2026-11-21T15:00:00Z"), now)).toMatch(/^3:00\sPM$/u);
  expect(en.clock(new Date("2026-11-22T06:00:00Z"), now)).toBe("Sun 06:00");
  expect(en.clock(new Date("2026-12-24T06:00:00Z"), now)).toBe("24 Dec 06:00");
});

test("until tomorrow ends at six in the morning of the next day", () => {
  expect(new Date(now.getTime() + untilTomorrow(now) * 1000).toISOString()).toBe("2026-11-22T06:00:00.000Z");
  const night = new Date("2026-11-21T00:10:00Z");
  expect(new Date(night.getTime() + untilTomorrow(night) * 1000).toISOString()).toBe("2026-11-22T06:00:00.000Z");
});
