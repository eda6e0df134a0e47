/**
 * UUID version 7 (RFC 9562): 48 bits of milliseconds, then chance; ids sort by time.
 */
export function uuid7(ms: number, random: Uint8Array = crypto.getRandomValues(new Uint8Array(10))): string {
  const hex = (n: number, width: number): string => n.toString(16).padStart(width, '0');
  const byte = (i: number): number => random[i] ?? 0;
  const tail = [...random.slice(4, 10)].map((b) => hex(b, 2)).join('');
  const time = hex(Math.max(0, Math.floor(ms)), 12).slice(-12);
  const versioned = hex(0x7000 | ((byte(0) << 8) | byte(1)) & 0x0fff, 4);
  const variant = hex(0x8000 | ((byte(2) << 8) | byte(3)) & 0x3fff, 4);
  return `${time.slice(0, 8)}-${time.slice(8)}-${versioned}-${variant}-${tail}`;
}
