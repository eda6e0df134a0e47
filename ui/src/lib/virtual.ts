/**
 * Which rows of a long list are in the document. All rows have one height but the open one, which has `extra`
 * more. Pure: pixels in, indexes and pixels out.
 */
export interface Geometry {
  count: number;
  row: number;
  /** The index of the open row, or -1. */
  open: number;
  extra: number;
}

export interface Slice {
  /** First row in the document, and the one behind the last. */
  from: number;
  to: number;
}

/** Rows kept beyond each edge, so that a scroll of one page shows no hole. */
const MARGIN = 8;
/** Never more in the document than this, whatever the height of the view. */
export const MOST = 64;

export function offset(g: Geometry, index: number): number {
  return index * g.row + (g.open >= 0 && index > g.open ? g.extra : 0);
}

export function height(g: Geometry): number {
  return offset(g, g.count);
}

export function slice(g: Geometry, top: number, view: number): Slice {
  if (g.count === 0 || g.row <= 0) return { from: 0, to: 0 };
  const first = indexAt(g, Math.max(0, top));
  const last = indexAt(g, Math.max(0, top + view));
  const from = Math.max(0, first - MARGIN);
  return { from, to: Math.min(g.count, last + 1 + MARGIN, from + MOST) };
}

function indexAt(g: Geometry, y: number): number {
  const plain = Math.floor(y / g.row);
  const below = g.open >= 0 && y >= offset(g, g.open) + g.row;
  const index = below ? Math.max(g.open, Math.floor((y - g.extra) / g.row)) : plain;
  return Math.min(g.count - 1, Math.max(0, index));
}
