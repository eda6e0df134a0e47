import { expect, test } from "vitest";
import { height, MOST, offset, slice } from "../src/lib/virtual";

const plain = { count: 5000, row: 80, open: -1, extra: 0 };
const opened = { ...plain, open: 10, extra: 200 };

test("the rows on show are always in the document, and never many", () => {
  for (const g of [plain, opened]) {
    for (const top of [-300, 0, 790, 800, 1000, 1080, 123_456, height(g) - 600, height(g)]) {
      const { from, to } = slice(g, top, 600);
      expect(to - from).toBeLessThanOrEqual(MOST);
      for (let i = 0; i < g.count; i += 1) {
        const from_ = offset(g, i);
        const to_ = from_ + g.row + (i === g.open ? g.extra : 0);
        const visible = to_ > Math.max(0, top) && from_ < Math.max(0, top + 600) && top < height(g);
        if (visible) expect([i >= from, i < to], `row ${i} at ${top}`).toEqual([true, true]);
      }
    }
  }
});

test("an open row moves only those behind it", () => {
  expect([9, 10, 11, 5000].map((i) => offset(opened, i))).toEqual([720, 800, 1080, 400_200]);
});

test("an empty list shows nothing", () => {
  expect(slice({ ...plain, count: 0 }, 0, 600)).toEqual({ from: 0, to: 0 });
});
