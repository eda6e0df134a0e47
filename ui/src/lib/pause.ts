/** How long the pauses of the menu last. The tray offers the same two (src-tauri/src/tray.rs). */
export const HOUR = 3600;
/** "Until tomorrow" ends at this hour: the morning, not midnight. */
const MORNING = 6;

export function untilTomorrow(now: Date): number {
  const end = new Date(now);
  end.setDate(end.getDate() + 1);
  end.setHours(MORNING, 0, 0, 0);
  return Math.ceil((end.getTime() - now.getTime()) / 1000);
}
