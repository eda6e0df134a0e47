/**
 * Draws the app's and the tray's icons: writes the SVG sources' pictures in all sizes.
 *   node src-tauri/icons/render.mjs
 * Needs a Chromium (CHROMIUM names another) and ImageMagick's `convert`; the pictures are committed, so that a build
 * needs neither.
 */
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const here = fileURLToPath(new URL(".", import.meta.url));
const scratch = mkdtempSync(join(tmpdir(), "icons-"));

/** A picture of `svg`, drawn four times as large and then made small, so that edges are smooth. */
function draw(svg, size, file) {
  const page = join(scratch, "page.html");
  const large = join(scratch, "large.png");
  const drawn = Math.max(512, size * 4);
  writeFileSync(page, `<style>body{margin:0}svg{display:block;width:${drawn}px;height:${drawn}px}</style>${svg}`);
  execFileSync(process.env.CHROMIUM ?? "chromium", [
    "--headless=new", "--no-sandbox", "--disable-gpu", "--hide-scrollbars",
    `--user-data-dir=${join(scratch, "profile")}`,
    "--default-background-color=00000000",
    `--window-size=${drawn},${drawn + 200}`,
    `--screenshot=${large}`,
    page,
  ], { stdio: "ignore" });
  execFileSync("convert", [large, "-crop", `${drawn}x${drawn}+0+0`, "+repage", "-filter", "Lanczos", "-resize", `${size}x${size}`, "-strip", `PNG32:${file}`]);
}

try {
  const app = readFileSync(join(here, "app.svg"), "utf8");
  for (const size of [32, 128, 256, 512]) draw(app, size, join(here, `${size}x${size}.png`));
  execFileSync("convert", [16, 32, 48, 256].flatMap((size) => ["(", join(here, "512x512.png"), "-resize", `${size}x${size}`, ")"]).concat(join(here, "icon.ico")));

  // The strokes of the tray's icons are `currentColor`: light for dark panels, dark for light ones.
  for (const state of ["calm", "syncing", "retrying", "paused", "attention"]) {
    const svg = readFileSync(join(here, "tray", `${state}.svg`), "utf8");
    for (const [variant, colour] of [["light", "#f4f4f6"], ["dark", "#2b2c31"]]) {
      draw(`<div style="color:${colour}">${svg}</div>`, 48, join(here, "tray", `${state}-${variant}.png`));
    }
  }
} finally {
  rmSync(scratch, { recursive: true, force: true });
}
