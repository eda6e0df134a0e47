import { svelte } from "@sveltejs/vite-plugin-svelte";
import { defineConfig } from "vitest/config";

// The window is served from the binary, so asset paths are relative and nothing is inlined:
// the content security policy of tauri.conf.json allows no `data:` scripts and no inline styles.
export default defineConfig(({ mode }) => ({
  plugins: [svelte()],
  base: "./",
  clearScreen: false,
  build: {
    target: ["safari15", "chrome105"],
    assetsInlineLimit: 0,
    modulePreload: { polyfill: false },
    reportCompressedSize: false,
  },
  // Component tests run the browser build of Svelte, not the server one.
  resolve: mode === "test" ? { conditions: ["browser"] } : {},
  test: {
    environment: "happy-dom",
    // A bound, not a measurement.
    testTimeout: 60_000,
    include: ["tests/**/*.test.ts"],
    // Times are formatted in the reader's zone; the tests name one.
    env: { TZ: "UTC" },
  },
}));
